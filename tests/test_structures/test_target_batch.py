"""TargetBatch equals what dense masks would give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unimask.structures import SegmentTargets, TargetBatch

SIZE = (24, 32)


def maps(counts: tuple[int, ...] = (3, 0, 2)) -> TargetBatch:
    return TargetBatch.stack([
        SegmentTargets.from_id_map(torch.randint(0, count + 2, SIZE), range(1, count + 1),
                                   range(10, 10 + count)) for count in counts])


def masks(counts: tuple[int, ...] = (3, 0, 2)) -> TargetBatch:
    """Overlapping segments, one pixel large in places."""
    return TargetBatch.stack([
        SegmentTargets.from_masks(torch.rand(count, *SIZE) > 0.98, range(10, 10 + count))
        for count in counts])


KINDS = [maps, masks]


@pytest.mark.parametrize('make', KINDS)
def test_where_segments_are(make: object) -> None:
    targets = make()
    assert targets.image_index.tolist() == [0, 0, 0, 2, 2]
    assert targets.within_image.tolist() == [0, 1, 2, 0, 1]
    assert targets.counts == (3, 0, 2) and len(targets) == 5


@pytest.mark.parametrize('make', KINDS)
@pytest.mark.parametrize('size', [(6, 8), (24, 32), (12, 4), (5, 7), (1, 1), (30, 40)])
def test_touches_is_a_positive_area(make: object, size: tuple[int, int]) -> None:
    targets = make()
    full = targets.select(torch.arange(len(targets)))
    expected = F.interpolate(full[:, None].double(), size, mode='area')[:, 0] > 1e-8
    assert torch.equal(targets.touches(size), expected)


@pytest.mark.parametrize('make', KINDS)
def test_touches_of_nothing(make: object) -> None:
    assert make((0, 0)).touches((6, 8)).shape == (0, 6, 8)


def test_semantic_map() -> None:
    targets = maps()
    found = targets.semantic_map(ignore=99)
    assert found.shape == (3, *SIZE) and found.dtype == torch.int64
    expected = torch.full_like(found, 99)
    for number in range(len(targets)):
        where = targets.select(torch.tensor([number]))[0]
        expected[targets.image_index[number]][where] = targets.labels[number]
    assert torch.equal(found, expected)
    assert (found[1] == 99).all()


def test_semantic_map_of_masks() -> None:
    first = torch.zeros(2, *SIZE, dtype=torch.bool)
    first[0, :5], first[1, 7:9] = True, True
    targets = TargetBatch.stack([SegmentTargets.from_masks(first, [4, 0]),
                                 SegmentTargets.from_masks(torch.zeros(0, *SIZE), [])])
    found = targets.semantic_map()
    assert found[0, :5].unique().tolist() == [4] and found[0, 7:9].unique().tolist() == [0]
    assert (found[0, 9:] == 255).all() and (found[1] == 255).all()
    first[1, 4, 4] = True
    with pytest.raises(ValueError, match='overlap'):
        TargetBatch.stack([SegmentTargets.from_masks(first, [4, 0])]).semantic_map()


@pytest.mark.parametrize('make', KINDS)
def test_to_keeps_everything(make: object) -> None:
    targets = make()
    moved = targets.to('cpu')
    assert moved.counts == targets.counts and torch.equal(moved.labels, targets.labels)


def test_pixels_of_several_classes_may_be_left_out() -> None:
    masks = torch.zeros(4, 4, 6, dtype=torch.bool)
    masks[0, :, :3] = masks[1, :, 2:4] = masks[2, 1:3, 3:6] = masks[3, 0] = True
    targets = TargetBatch.stack([SegmentTargets.from_masks(masks[:3], [4, 0, 0]),
                                 SegmentTargets.from_masks(masks[3:], [2])])
    found = targets.semantic_map(9, overlap='ignore')
    assert found.tolist() == [
        [[4, 4, 9, 0, 9, 9], [4, 4, 9, 0, 0, 0], [4, 4, 9, 0, 0, 0], [4, 4, 9, 0, 9, 9]],
        [[2] * 6, [9] * 6, [9] * 6, [9] * 6]]
