"""Random resizing and cropping: sizes, ranges and alignment of image and labels."""

import numpy as np
import pytest

from unimask.datasets.transforms import (
    FixedSizeCrop,
    InstanceShapes,
    LargeScaleJitter,
    PadToSize,
    RandomCrop,
    RandomFlip,
    RandomRangeCrop,
    ResizeInto,
    ResizeShortestEdge,
)
from unimask.errors import UserError


def _sample(height: int, width: int) -> dict:
    """Image and id map show the same rectangle; the instance outlines it."""
    ids = np.zeros((height, width), np.int32)
    top, bottom, left, right = height // 4, height // 2, width // 3, width * 3 // 4
    ids[top:bottom, left:right] = 1
    image = np.where(ids[..., None] == 1, 255, 0).astype(np.uint8).repeat(3, 2)
    corners = [left, top, right, top, right, bottom, left, bottom]
    return dict(img=image, gt_seg_map=ids, segments_info=[dict(id=1, category=0)],
                gt_masks=InstanceShapes([[corners]], shape=(height, width)))


@pytest.mark.parametrize(('size', 'short', 'long', 'expected'), [
    ((480, 640), 800, 1333, (800, 1067)), ((640, 480), 800, 1333, (1067, 800)),
    ((427, 640), 800, 1333, (800, 1199)), ((300, 1000), 800, 1333, (400, 1333)),
    ((1024, 2048), 1024, 2048, (1024, 2048)), ((300, 1000), 800, None, (800, 2667)),
    ((500, 333), 512, 2048, (769, 512))])
def test_short_edge(size, short, long, expected):
    sample = _sample(*size)
    ResizeShortestEdge(short_edge=short, max_long=long)(sample)
    assert sample['img'].shape[:2] == sample['gt_seg_map'].shape == expected
    assert sample['gt_masks'].frame.shape == expected


def test_short_edge_choices():
    seen = set()
    for _ in range(40):
        sample = dict(img=np.zeros((20, 30, 3), np.uint8))
        seen.add(ResizeShortestEdge(short_edge=(8, 16, 24))(sample)['img'].shape[0])
    assert seen == {8, 16, 24}


@pytest.mark.parametrize(('size', 'ratio', 'expected'), [
    ((480, 640), 1.0, (512, 683)), ((640, 480), 0.5, (341, 256)), ((300, 1500), 1.0, (410, 2048)),
    ((300, 1500), 0.5, (205, 1024))])
def test_resize_into_a_rectangle(size, ratio, expected):
    sample = _sample(*size)
    ResizeInto(size=(2048, 512), ratios=[ratio])(sample)
    assert sample['img'].shape[:2] == sample['gt_seg_map'].shape == expected


def test_ratios_are_chosen_or_drawn():
    def heights(step):
        return [step(dict(img=np.zeros((100, 200, 3), np.uint8)))['img'].shape[0]
                for _ in range(60)]

    assert set(heights(ResizeInto(size=(200, 100), ratios=(0.5, 1.75)))) == {50, 175}
    drawn = heights(ResizeInto(size=(200, 100), ratio_range=(0.5, 1.75)))
    assert 50 <= min(drawn) < 70 and 155 < max(drawn) <= 175 and len(set(drawn)) > 20


@pytest.mark.parametrize('options', [
    {}, dict(ratios=(1.0,), ratio_range=(1, 2)), dict(ratio_range=(2, 1)),
    dict(ratio_range=(0, 1))])
def test_ratios_that_there_cannot_be(options):
    with pytest.raises(UserError, match='ratio'):
        ResizeInto(size=(20, 10), **options)


def test_colour_of_the_padding():
    for options, colour in (({}, (128, 128, 128)), (dict(colour=(1, 2, 3)), (1, 2, 3))):
        sample = dict(img=np.zeros((2, 3, 3), np.uint8), gt_seg_map=np.zeros((2, 3), np.uint8))
        PadToSize(size=(3, 4), **options)(sample)
        assert tuple(sample['img'][2, 3]) == tuple(sample['img'][0, 3]) == colour
        assert not sample['img'][:2, :3].any() and sample['gt_seg_map'][2, 3] == 255


def test_jitter_fits_the_square():
    ratios = []
    for _ in range(60):
        sample = LargeScaleJitter(size=100, ratio_range=(0.5, 2.0))(
            dict(img=np.zeros((60, 120, 3), np.uint8)))
        height, width = sample['img'].shape[:2]
        assert abs(height * 2 - width) <= 1
        ratios.append(width / 100)
    assert 0.5 <= min(ratios) < 0.7
    assert 1.7 < max(ratios) <= 2.0


def test_jitter_of_a_sliver():
    sample = LargeScaleJitter(size=64, ratio_range=(0.1, 0.1))(
        dict(img=np.zeros((2, 900, 3), np.uint8)))
    assert sample['img'].shape[:2] == (1, 6)


def test_lsj_geometry(monkeypatch):
    np.random.seed(3)
    for _ in range(20):
        sample = _sample(60, 90)
        for step in (RandomFlip(prob=0.5), LargeScaleJitter(size=64), FixedSizeCrop(size=64)):
            sample = step(sample)
        assert sample['img'].shape == (64, 64, 3)
        ids, image = sample['gt_seg_map'], sample['img'][..., 0]
        mask = sample['gt_masks'].to_ndarray()[0]
        assert ((image > 191) & (ids == 0) & (image != 128)).mean() < 0.02
        assert (mask != ids).mean() < 0.06  # drawn at this size versus nearest pixel


def test_fixed_size_crop_shares_one_random_number(monkeypatch):
    monkeypatch.setattr(np.random, 'uniform', lambda low, high: 0.25)
    image = np.arange(40 * 60).reshape(40, 60, 1).repeat(3, 2)
    sample = FixedSizeCrop(size=20)(dict(img=image))
    np.testing.assert_array_equal(sample['img'], image[5:25, 10:30])


def test_fixed_size_crop_pads_what_is_small():
    sample = FixedSizeCrop(size=20)(_sample(12, 50))
    assert sample['img'].shape == (20, 20, 3)
    assert (sample['img'][12:] == 128).all()
    assert not sample['gt_seg_map'][12:].any()
    assert not sample['gt_masks'].to_ndarray()[0, 12:].any()


def test_random_crop_reaches_every_place():
    places = set()
    image = np.arange(6 * 4).reshape(6, 4, 1).astype(np.uint8).repeat(3, 2)
    for _ in range(200):
        sample = RandomCrop(size=(4, 9))(dict(img=image))
        assert sample['img'].shape == (4, 4, 3)
        places.add(int(sample['img'][0, 0, 0]) // 4)
    assert places == {0, 1, 2}


def _share_of_mixed_crops(max_area: float, **labels: object) -> float:
    mixed = 0
    for _ in range(60):
        sample = dict(img=np.zeros((8, 64, 3), np.uint8), **labels)
        RandomCrop(size=(8, 8), max_area=max_area)(sample)
        mixed += len(np.unique(sample['gt_seg_map'])) > 1
    return mixed / 60


def test_category_area_constraint():
    labels = np.zeros((8, 64), np.uint8)
    labels[:, 30:34] = 1
    semantic = dict(gt_seg_map=labels, ignore_index=255)
    assert _share_of_mixed_crops(1.0, **semantic) < 0.5
    assert _share_of_mixed_crops(0.9, **semantic) > 0.7
    ids = labels.astype(np.int32) + 1
    two_classes = [dict(id=1, category=5), dict(id=2, category=6)]
    assert _share_of_mixed_crops(0.9, gt_seg_map=ids, segments_info=two_classes) > 0.7
    # two segments of one class are one class
    one_class = [dict(id=1, category=5), dict(id=2, category=5)]
    assert _share_of_mixed_crops(0.9, gt_seg_map=ids, segments_info=one_class) < 0.5
    ignored = dict(gt_seg_map=np.where(labels == 1, 255, 0), ignore_index=255)
    assert _share_of_mixed_crops(0.9, **ignored) < 0.5


def test_range_crop():
    heights, widths = set(), set()
    for _ in range(200):
        sample = RandomRangeCrop(min_size=4, max_size=6)(dict(img=np.zeros((9, 5, 3), np.uint8)))
        heights.add(sample['img'].shape[0])
        widths.add(sample['img'].shape[1])
    assert (heights, widths) == ({4, 5, 6}, {4, 5})


def test_pad_to_size():
    sample = PadToSize(size=(10, 20))(_sample(8, 24))
    assert sample['img'].shape == (10, 24, 3)
