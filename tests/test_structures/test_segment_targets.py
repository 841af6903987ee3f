"""SegmentTargets equal what dense float masks would give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unimask.structures import SegmentTargets, TargetBatch


def partition(height: int = 13, width: int = 17) -> SegmentTargets:
    id_map = torch.randint(0, 5, (height, width)) * 1000
    return SegmentTargets.from_id_map(id_map, [3000, 1000, 9000, 2000], [5, 6, 7, 5])


def overlapping(height: int = 13, width: int = 17) -> SegmentTargets:
    return SegmentTargets.from_masks(torch.rand(3, height, width) > 0.5, [1, 2, 2])


KINDS = [partition, overlapping]


def grid_sample(masks: Tensor, points: Tensor) -> Tensor:
    """The slow twin: (N, H, W), (N, P, 2) -> (N, P)."""
    return F.grid_sample(
        masks[:, None].float(), 2 * points[:, None] - 1, align_corners=False)[:, 0, 0]


def test_from_id_map_keeps_the_listed_order_and_empty_segments() -> None:
    id_map = torch.tensor([[7, 7, 0], [3, 3, 255]])
    targets = SegmentTargets.from_id_map(id_map, [7, 100, 3], [1, 2, 3])
    expected = torch.stack([id_map == 7, torch.zeros(2, 3, dtype=torch.bool), id_map == 3])
    assert torch.equal(targets.dense(), expected)
    assert targets.labels.tolist() == [1, 2, 3]


def test_no_segments() -> None:
    targets = SegmentTargets.from_id_map(torch.zeros(4, 5, dtype=torch.int32), [], [])
    assert len(targets) == 0 and targets.dense().shape == (0, 4, 5)
    assert targets.sample(torch.rand(6, 2)).shape == (0, 6)
    assert targets.resize((2, 2)).shape == (0, 2, 2)


def test_many_segments_do_not_overflow() -> None:
    id_map = torch.arange(200 * 200).view(200, 200)
    targets = SegmentTargets.from_id_map(id_map, range(40000), [0] * 40000)
    assert targets.index_map.dtype == torch.int32
    assert targets.index_map[199, 199] == 39999


@pytest.mark.parametrize('kind', KINDS)
def test_sample_equals_grid_sample(kind: callable) -> None:
    targets = kind()
    points = torch.rand(len(targets), 50, 2) * 1.2 - 0.1
    expected = grid_sample(targets.dense(), points)
    torch.testing.assert_close(targets.sample(points), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize('kind', KINDS)
def test_sample_broadcasts(kind: callable) -> None:
    targets = kind()
    shared = torch.rand(9, 2)
    expected = grid_sample(targets.dense(), shared.expand(len(targets), -1, -1))
    torch.testing.assert_close(targets.sample(shared), expected, atol=1e-5, rtol=0)
    layers = torch.rand(4, len(targets), 9, 2)
    for layer, values in zip(layers, targets.sample(layers), strict=True):
        torch.testing.assert_close(
            values, grid_sample(targets.dense(), layer), atol=1e-5, rtol=0)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('mode', ['nearest', 'bilinear', 'area'])
@pytest.mark.parametrize('size', [(5, 6), (13, 17), (40, 29)])
def test_resize_equals_interpolate(kind: callable, mode: str, size: tuple[int, int]) -> None:
    targets = kind()
    expected = F.interpolate(targets.dense()[None].float(), size, mode=mode)[0]
    torch.testing.assert_close(targets.resize(size, mode), expected)


@pytest.mark.parametrize('old', [96, 101, 512, 800])
def test_nearest_picks_the_same_pixels_as_torch(old: int) -> None:
    id_map = torch.arange(old).expand(3, old)
    targets = SegmentTargets.from_id_map(id_map, range(old), range(old))
    for new in (old // 4, -(-old // 4), 37, old // 32):
        expected = F.interpolate(id_map[None, None].double(), (3, new), mode='nearest')[0, 0, 0]
        assert torch.equal(targets.resize((3, new)).argmax(0)[0], expected.long()), new


@pytest.mark.parametrize('kind', KINDS)
def test_pad(kind: callable) -> None:
    targets = kind()
    padded = targets.pad((20, 32)).dense()
    assert torch.equal(padded, F.pad(targets.dense(), (0, 15, 0, 7)))
    with pytest.raises(ValueError, match=r'\(13, 17\).*does not fit'):
        targets.pad((12, 32))


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match='either an index map or masks'):
        SegmentTargets(torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match='2 labels do not fit 3 masks'):
        SegmentTargets.from_masks(torch.zeros(3, 2, 2), [1, 2])
    with pytest.raises(ValueError, match='mode must be'):
        partition().resize((2, 2), 'cubic')


@pytest.mark.parametrize('kinds', [(partition, partition), (overlapping, partition)])
def test_batch_equals_its_images(kinds: tuple) -> None:
    images = [kind() for kind in kinds]
    batch = TargetBatch.stack(images)
    assert batch.counts == tuple(len(image) for image in images)
    points = torch.rand(2, 11, 2)
    expected = torch.cat([image.sample(p) for image, p in zip(images, points, strict=True)])
    torch.testing.assert_close(batch.sample_shared(points), expected)
    chosen = torch.tensor([4, 0, 4, 2])
    dense = torch.cat([image.dense() for image in images])
    assert torch.equal(batch.select(chosen), dense[chosen])
    points = torch.rand(4, 11, 2)
    torch.testing.assert_close(
        batch.sample(points, chosen), grid_sample(dense[chosen], points), atol=1e-5, rtol=0)
    expected = F.interpolate(dense[None].float(), (5, 7), mode='nearest')[0]
    assert torch.equal(batch.resize_nearest((5, 7)), expected)


@pytest.mark.parametrize('ids', [[3, 0, 7], [-4, 3, 2**40], [2**30, 0, 3]])
def test_any_ids(ids: list[int]) -> None:
    id_map = torch.tensor([-4, 3, 7, 8, 0, ids[2], ids[0]]).expand(2, 7)
    dense = SegmentTargets.from_id_map(id_map, ids, [0, 0, 0]).dense()
    assert torch.equal(dense, torch.stack([id_map == each for each in ids]))


def test_uint8_maps() -> None:
    id_map = torch.tensor([[0, 3, 255]], dtype=torch.uint8)
    dense = SegmentTargets.from_id_map(id_map, [3, 255], [3, 255]).dense()
    assert torch.equal(dense, torch.stack([id_map == 3, id_map == 255]))


def test_at_size_in_both_storages() -> None:
    id_map = torch.tensor([[5, 5, 7, 7], [5, 5, 0, 0]])
    mapped = SegmentTargets.from_id_map(id_map, [5, 7], [1, 2])
    masked = SegmentTargets.from_masks(mapped.dense(), [1, 2])
    wanted = torch.tensor([[[1, 0], [1, 0], [1, 0], [1, 0]], [[0, 1], [0, 1], [0, 0], [0, 0]]])
    for targets in (mapped, masked):
        resized = targets.at_size((4, 2))
        assert resized.size == (4, 2) and torch.equal(resized.dense().long(), wanted)
        assert (resized.masks is None) == (targets.masks is None)
        assert targets.at_size((2, 4)) is targets
