"""Resizing, cropping and padding of whole samples."""

import numpy as np
import pytest
import torch
from PIL import Image

from unimask.datasets.transforms.geometry import (
    crop_sample,
    floor_nearest,
    pad_sample,
    pil_nearest,
    resize_sample,
)

SIZES = [(7, 5), (5, 7), (640, 427), (427, 1023), (33, 330), (1, 4), (480, 480)]


@pytest.mark.parametrize(('old', 'new'), SIZES)
def test_nearest_rules(old, new):
    values = np.random.RandomState(0).randint(0, 256, (old, 3), np.uint8)
    by_pil = np.asarray(Image.fromarray(values).resize((3, new), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(values[pil_nearest(old, new)], by_pil)
    by_torch = torch.nn.functional.interpolate(
        torch.from_numpy(values.astype(float))[None, None], (new, 3), mode='nearest')[0, 0].numpy()
    np.testing.assert_array_equal(values[floor_nearest(old, new)], by_torch)


def _sample(panoptic: bool) -> dict:
    random = np.random.RandomState(0)
    sample = dict(img=random.randint(0, 256, (9, 14, 3), np.uint8),
                  gt_seg_map=random.randint(0, 4, (9, 14)).astype(np.int32))
    return sample | (dict(segments_info=[]) if panoptic else dict(ignore_index=255))


@pytest.mark.parametrize('panoptic', [True, False])
def test_resize(panoptic):
    sample = _sample(panoptic)
    before = dict(sample)
    resize_sample(sample, (6, 20))
    image = np.asarray(Image.fromarray(before['img']).resize((20, 6), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(sample['img'], image)
    pick = pil_nearest if panoptic else floor_nearest
    np.testing.assert_array_equal(
        sample['gt_seg_map'], before['gt_seg_map'][pick(9, 6)][:, pick(14, 20)])
    assert sample['img_shape'] == (6, 20)
    assert sample['scale_factor'] == (20 / 14, 6 / 9)
    assert (pil_nearest(9, 6) != floor_nearest(9, 6)).any()  # the rules do differ here


@pytest.mark.parametrize(('panoptic', 'void'), [(True, 0), (False, 255)])
def test_crop_then_pad(panoptic, void):
    sample = _sample(panoptic)
    before = dict(sample)
    crop_sample(sample, (2, 3, 5, 8))
    np.testing.assert_array_equal(sample['img'], before['img'][2:7, 3:11])
    np.testing.assert_array_equal(sample['gt_seg_map'], before['gt_seg_map'][2:7, 3:11])
    pad_sample(sample, (10, 8))
    assert sample['img'].shape == (10, 8, 3)
    assert sample['img_shape'] == sample['pad_shape'] == (10, 8)
    assert (sample['img'][5:] == 128).all()
    assert (sample['gt_seg_map'][5:] == void).all()
    np.testing.assert_array_equal(sample['img'][:5], before['img'][2:7, 3:11])


def test_padding_never_crops():
    sample = _sample(True)
    pad_sample(sample, (4, 4))
    assert sample['img'].shape == (9, 14, 3)
    assert 'pad_shape' not in sample
