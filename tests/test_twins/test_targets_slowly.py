"""Targets from data samples, and what is read out of them, pixel by pixel."""

from __future__ import annotations

import itertools

import numpy as np
import plain
import pytest
import torch
from door import SegmentTargets, TargetBatch, made_targets, targets_of, taxonomy, to_numpy
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

HEIGHT, WIDTH, PADDED = 9, 11, (12, 13)
CLASSES = taxonomy(6, things=(0, 1, 4))
Segments = list[tuple[int, np.ndarray]]


def blocks(values: int) -> np.ndarray:
    """(H, W) random numbers below ``values`` in blocks."""
    small = np.random.default_rng(5).integers(0, values, (3, 4))
    return small.repeat(3, 0).repeat(3, 1)[:HEIGHT, :WIDTH]


def padded(mask: np.ndarray) -> np.ndarray:
    out = np.zeros(PADDED, bool)
    out[:HEIGHT, :WIDTH] = mask
    return out


def pixels(values: np.ndarray, **meta: object) -> PixelData:
    data = PixelData(sem_seg=torch.as_tensor(values)[None])
    data.set_metainfo(meta)
    return data


def panoptic() -> tuple[DetDataSample, Segments]:
    """Ids with segments: crowds are left out, so are pixels of no segment."""
    ids = blocks(5)
    info = [dict(id=4, category=2, iscrowd=0), dict(id=1, category=4, iscrowd=0),
            dict(id=2, category=4, iscrowd=1), dict(id=3, category=0)]
    sample = DetDataSample()
    sample.gt_panoptic_seg = pixels(ids, segments_info=info)
    return sample, [(label, padded(ids == i)) for i, label in ((4, 2), (1, 4), (3, 0))]


def panoptic_of_mmdet() -> tuple[DetDataSample, Segments]:
    """Class + 1000 * index; the class count is void."""
    ids = np.array([0, 1000, 2004, 5, 6])[blocks(5)]
    sample = DetDataSample()
    sample.gt_panoptic_seg = pixels(ids)
    return sample, [(label, padded(ids == i))
                    for i, label in ((0, 0), (5, 5), (1000, 0), (2004, 4))]


def semantic(kind: type, ignored: int) -> tuple[object, Segments]:
    labels = blocks(5)
    labels[labels == 4] = ignored
    sample = kind()
    if kind is SegDataSample:
        sample.gt_sem_seg = PixelData(data=torch.as_tensor(labels)[None])
    else:
        sample.gt_sem_seg = pixels(labels.astype(np.uint8))
    return sample, [(label, padded(labels == label)) for label in range(4)]


def negative_ignored_label() -> tuple[DetDataSample, Segments]:
    labels = blocks(4) - 1
    sample = DetDataSample()
    sample.gt_sem_seg = pixels(labels, ignore_index=-1)
    return sample, [(label, padded(labels == label)) for label in (0, 1, 2)]


def own_ignored_label() -> tuple[DetDataSample, Segments]:
    """A map that states which label it ignores: 255 is then nothing special, 2 is."""
    labels = blocks(4)
    sample = DetDataSample()
    sample.gt_sem_seg = pixels(labels, ignore_index=2)
    return sample, [(label, padded(labels == label)) for label in (0, 1, 3)]


def instances() -> tuple[DetDataSample, Segments]:
    """They may overlap, and a class may come several times."""
    masks = np.stack([blocks(2) == 1, blocks(3) == 1, np.zeros((HEIGHT, WIDTH), bool)])
    sample = DetDataSample()
    sample.gt_instances = InstanceData(labels=torch.tensor([3, 1, 3]), masks=torch.tensor(masks))
    return sample, [(label, padded(mask)) for label, mask in zip((3, 1, 3), masks, strict=True)]


def both() -> tuple[DetDataSample, Segments]:
    """Things by instance, stuff by class; things of the map are left out."""
    sample, _ = instances()
    masks, labels = sample.gt_instances.masks[:2], blocks(6)
    sample.gt_instances = InstanceData(labels=torch.tensor([4, 1]), masks=masks)
    sample.gt_sem_seg = pixels(labels)
    stuff = [(label, padded(labels == label)) for label in (2, 3, 5) if (labels == label).any()]
    return sample, [(4, padded(masks[0].numpy())), (1, padded(masks[1].numpy())), *stuff]


SAMPLES = {
    'panoptic': panoptic, 'panoptic of mmdet': panoptic_of_mmdet,
    'semantic of mmdet': lambda: semantic(DetDataSample, 255),
    'semantic of mmseg': lambda: semantic(SegDataSample, 255),
    'own ignored label': own_ignored_label, 'negative ignored label': negative_ignored_label,
    'instances': instances, 'both': both,
}


def whole(targets: TargetBatch) -> np.ndarray:
    return targets.select(torch.arange(len(targets))).numpy()


@pytest.mark.parametrize('name', SAMPLES)
def test_segments_of_a_sample(name: str) -> None:
    sample, expected = SAMPLES[name]()
    targets = made_targets([sample], PADDED, CLASSES)
    found = list(zip(targets.labels.tolist(), whole(targets), strict=True))

    def key(segment: tuple) -> tuple:
        return segment[0], segment[1].tobytes()

    assert [key(s) for s in sorted(found, key=key)] == [
        key(s) for s in sorted(expected, key=key)]


@pytest.mark.parametrize('names', [('panoptic', 'semantic of mmdet'), ('panoptic', 'instances')])
def test_batch_keeps_images_apart(names: tuple[str, str]) -> None:
    """Index maps alone stay maps; with instances all become masks. Both read out the same."""
    samples, expected = zip(*(SAMPLES[name]() for name in names), strict=True)
    targets = made_targets(samples, PADDED, CLASSES)
    counts = [len(own) for own in expected]
    assert list(targets.counts) == counts and len(targets) == sum(counts)
    assert targets.image_index.tolist() == [0] * counts[0] + [1] * counts[1]
    assert targets.labels.tolist() == [label for own in expected for label, _ in own]
    masks = [mask for own in expected for _, mask in own]
    np.testing.assert_array_equal(whole(targets), masks)
    assert tuple(targets.size) == PADDED
    check_reading(targets, masks)


def check_reading(targets: TargetBatch, masks: list[np.ndarray]) -> None:
    chosen = torch.tensor([len(masks) - 1, 0, 2, 2])
    np.testing.assert_array_equal(targets.select(chosen), [masks[i] for i in chosen])
    points = 1.1 * torch.rand(4, 30, 2) - 0.05
    points[:, :4] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.0], [1.0, 0.25]])
    np.testing.assert_allclose(
        to_numpy(targets.sample(points, chosen)),
        [plain.sampled(masks[i], to_numpy(own)) for i, own in zip(chosen, points, strict=True)],
        atol=1e-5)
    shared = torch.rand(2, 20, 2)
    np.testing.assert_allclose(
        to_numpy(targets.sample_shared(shared)),
        [plain.sampled(mask, to_numpy(shared[image]))
         for mask, image in zip(masks, targets.image_index, strict=True)], atol=1e-5)
    np.testing.assert_array_equal(
        targets.resize_nearest((5, 7)),
        [plain.resize_nearest(mask, (5, 7)) for mask in masks])


@pytest.mark.parametrize('overlap', [True, False])
def test_sampling(overlap: bool, kernels: str) -> None:
    _, segments = instances() if overlap else panoptic()
    targets = as_targets(segments, overlap=overlap)
    check_reading(targets_of(targets, targets), [mask for _, mask in segments] * 2)
    points = torch.rand(15, 2)
    np.testing.assert_allclose(
        to_numpy(targets.sample(points)),
        [plain.sampled(mask, to_numpy(points)) for _, mask in segments], atol=1e-5)
    own = torch.rand(2, len(segments), 6, 2)
    np.testing.assert_allclose(
        to_numpy(targets.sample(own)),
        [[plain.sampled(mask, to_numpy(points))
          for (_, mask), points in zip(segments, part, strict=True)] for part in own], atol=1e-5)


def as_targets(segments: Segments, *, overlap: bool) -> SegmentTargets:
    labels, masks = zip(*segments, strict=True)
    if overlap:
        return SegmentTargets.from_masks(torch.tensor(np.stack(masks)), labels)
    ids = sum((i + 7) * mask.astype(int) for i, mask in enumerate(masks))
    return SegmentTargets.from_id_map(
        torch.as_tensor(ids), [i + 7 for i in range(len(masks))], labels)


@pytest.mark.parametrize('overlap', [True, False])
@pytest.mark.parametrize('mode', ['nearest', 'bilinear', 'area'])
@pytest.mark.parametrize('size', [(5, 7), (12, 13), (20, 15)])
def test_resizing(overlap: bool, mode: str, size: tuple[int, int]) -> None:
    _, segments = instances() if overlap else panoptic()
    targets = as_targets(segments, overlap=overlap)
    resize = dict(nearest=plain.resize_nearest, bilinear=plain.resize_bilinear,
                  area=plain.resize_area)[mode]
    np.testing.assert_allclose(
        to_numpy(targets.resize(size, mode)),
        [resize(mask.astype(float), size) for _, mask in segments], atol=1e-5)
    assert targets.resize(size).sum() == targets.resize(size, 'nearest').sum()


@pytest.mark.parametrize('shift, factor', [(0, 1), (-4, 1), (0, 2**21), (-3, 2**21)])
def test_any_ids(shift: int, factor: int) -> None:
    """Small ones, negative ones, huge ones; ids of no segment and segments without a pixel."""
    ids = blocks(6) * factor + shift
    listed = [4 * factor + shift, shift, 2 * factor + shift, 99 * factor + shift]
    targets = SegmentTargets.from_id_map(torch.as_tensor(ids), listed, [1, 2, 3, 0])
    np.testing.assert_array_equal(targets.dense(), [ids == i for i in listed])
    assert not targets.dense()[3].any() and (~targets.dense().any(0)).any()


def test_many_segments() -> None:
    """More than 16 bits can count."""
    count = 2**15 + 3
    ids = torch.arange(count + 2).view(1, -1)
    targets = SegmentTargets.from_id_map(ids, range(1, count + 1), torch.zeros(count))
    found = targets_of(targets).select(torch.tensor([0, count - 1]))
    assert found.nonzero().tolist() == [[0, 0, 1], [1, 0, count]]


def test_padding_and_nothing() -> None:
    for overlap in (True, False):
        _, segments = instances() if overlap else panoptic()
        targets = as_targets(segments, overlap=overlap).pad((15, 20))
        masks = np.zeros((len(segments), 15, 20), bool)
        for mask, (_, own) in zip(masks, segments, strict=True):
            mask[:12, :13] = own
        np.testing.assert_array_equal(targets.dense(), masks)
        assert targets.size == (15, 20) and targets.pad((15, 20)) is targets
        for size in ((14, 20), (15, 19)):
            with pytest.raises(ValueError, match='does not fit'):
                targets.pad(size)
    empty = SegmentTargets.from_id_map(torch.zeros(3, 4, dtype=torch.int64), [], [])
    assert len(empty) == 0 and empty.dense().shape == (0, 3, 4)
    assert empty.resize((2, 2)).shape == (0, 2, 2)
    assert empty.sample(torch.rand(5, 2)).shape == (0, 5)
    batch = targets_of(empty, empty)
    assert len(batch) == 0 and batch.sample_shared(torch.rand(2, 5, 2)).shape == (0, 5)


@pytest.mark.parametrize('names', [('panoptic', 'semantic of mmdet'), ('panoptic', 'instances')])
@pytest.mark.parametrize('size', [(6, 13), (4, 13), (5, 7), (12, 13), (1, 1)])
def test_touched_cells(names: tuple[str, str], size: tuple[int, int]) -> None:
    """Any pixel of a segment counts, also where cells share pixels."""
    samples, expected = zip(*(SAMPLES[name]() for name in names), strict=True)
    targets = made_targets(samples, PADDED, CLASSES)
    np.testing.assert_array_equal(targets.touches(size), [
        plain.resize_area(mask.astype(float), size) > 0 for own in expected for _, mask in own])


@pytest.mark.parametrize('names', [('panoptic', 'semantic of mmdet'), ('panoptic', 'both')])
def test_semantic_map(names: tuple[str, str]) -> None:
    samples, expected = zip(*(SAMPLES[name]() for name in names), strict=True)
    if 'both' in names:  # apart from each other
        samples[1].gt_instances.masks[1] &= ~samples[1].gt_instances.masks[0]
        label_map = samples[1].gt_sem_seg.sem_seg
        label_map[samples[1].gt_instances.masks.any(0)[None]] = 0
        things = samples[1].gt_instances
        expected = (expected[0], [
            *((label, padded(mask.numpy())) for label, mask in zip(
                things.labels.tolist(), things.masks, strict=True)),
            *((label, padded(label_map[0].numpy() == label)) for label in (2, 3, 5))])
    wanted = np.full((2, *PADDED), 77)
    for own, segments in zip(wanted, expected, strict=True):
        for label, mask in segments:
            own[mask] = label
    targets = made_targets(samples, PADDED, CLASSES)
    np.testing.assert_array_equal(targets.semantic_map(77), wanted)


def test_overlapping_segments_have_no_semantic_map() -> None:
    with pytest.raises(ValueError, match='overlap'):
        made_targets([instances()[0]], PADDED, CLASSES).semantic_map()


@pytest.mark.parametrize('label, valid', itertools.chain(
    ((label, True) for label in (0, 5)), ((label, False) for label in (-1, 6))))
def test_labels_outside_the_classes(label: int, valid: bool) -> None:
    sample, _ = instances()
    sample.gt_instances.labels[1] = label
    if valid:
        made_targets([sample], PADDED, CLASSES)
    else:
        with pytest.raises(ValueError, match=f'label {label} is outside the 6 classes'):
            made_targets([sample], PADDED, CLASSES)
