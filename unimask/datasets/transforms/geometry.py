"""Resize, mirror, crop and pad everything in a sample that has a place in the image.

A sample (``results`` in mm pipelines) may have ``img`` (h, w, 3), ``gt_seg_map`` (h, w), which is a
segment-id map where ``segments_info`` is there and a map of class indices elsewhere, and
``gt_masks`` with mmdet's mask methods.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from PIL import Image

__all__ = ['crop_sample', 'flip_sample', 'floor_nearest', 'pad_sample', 'pil_nearest',
           'resize_sample', 'shape_within']

AXES = dict(horizontal=1, vertical=0, diagonal=(0, 1))
GREY = (128, 128, 128)  # of the padding, before normalisation, as published


def pil_nearest(old: int, new: int) -> np.ndarray:
    """Index of the source pixel for each of ``new`` pixels, as PIL's nearest resize picks it."""
    line = Image.fromarray(np.arange(old, dtype=np.int32)[None])
    return np.asarray(line.resize((new, 1), Image.Resampling.NEAREST))[0]


def floor_nearest(old: int, new: int) -> np.ndarray:
    """The same by the floor convention of ``torch.nn.functional.interpolate(mode='nearest')``."""
    line = torch.arange(old, dtype=torch.float64)[None, None]
    return torch.nn.functional.interpolate(line, new, mode='nearest')[0, 0].long().numpy()


def shape_within(shape: tuple[int, int], scale: float | tuple[int, int]) -> tuple[int, int]:
    """New (height, width) with the aspect kept, as mmcv rounds it.

    Args:
        shape: Old height and width.
        scale: A factor; or the two edges, in any order, of a rectangle that lies as the image does
            and is to be filled.
    """
    height, width = shape
    factor = scale if isinstance(scale, (int, float)) else min(
        max(scale) / max(shape), min(scale) / min(shape))
    return int(height * float(factor) + 0.5), int(width * float(factor) + 0.5)


def resize_sample(results: dict, shape: tuple[int, int]) -> None:
    """Resize in place: the image bilinearly with antialiasing (PIL), labels to the nearest pixel.

    Panoptic maps follow PIL's nearest rule, semantic maps the floor rule of tensors, as in the
    published pipelines (the two can differ by a pixel).

    Args:
        results: The sample.
        shape: New height and width.
    """
    height, width = shape
    old_height, old_width = results['img'].shape[:2]
    image = Image.fromarray(np.ascontiguousarray(results['img']))
    results['img'] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    results['img_shape'] = (height, width)
    results['scale_factor'] = (width / old_width, height / old_height)
    if results.get('gt_seg_map') is not None:
        pick = pil_nearest if 'segments_info' in results else floor_nearest
        rows, columns = pick(old_height, height), pick(old_width, width)
        results['gt_seg_map'] = results['gt_seg_map'][rows[:, None], columns]
    if results.get('gt_masks') is not None:
        results['gt_masks'] = results['gt_masks'].resize(shape)


def flip_sample(results: dict, direction: str) -> None:
    """Mirror in place: ``horizontal``, ``vertical`` or ``diagonal`` (both)."""
    for key in ('img', 'gt_seg_map'):
        if results.get(key) is not None:
            results[key] = np.flip(results[key], AXES[direction])
    if results.get('gt_masks') is not None:
        results['gt_masks'] = results['gt_masks'].flip(direction)


def crop_sample(results: dict, box: tuple[int, int, int, int]) -> None:
    """Crop in place to the box (top, left, height, width), which lies in the image."""
    top, left, height, width = box
    window = slice(top, top + height), slice(left, left + width)
    results['img'] = results['img'][window]
    results['img_shape'] = (height, width)
    if results.get('gt_seg_map') is not None:
        results['gt_seg_map'] = results['gt_seg_map'][window]
    if results.get('gt_masks') is not None:
        results['gt_masks'] = results['gt_masks'].crop(
            np.array([left, top, left + width, top + height]))


def pad_sample(results: dict, shape: tuple[int, int], *,
               colour: tuple[int, int, int] = GREY) -> None:
    """Pad in place at bottom and right to at least (height, width).

    The image gets the colour, semantic maps their ignore index, segment-id maps and masks 0.
    """
    old_height, old_width = results['img'].shape[:2]
    height, width = max(shape[0], old_height), max(shape[1], old_width)
    if (height, width) == (old_height, old_width):
        return
    border = (0, height - old_height, 0, width - old_width)
    results['img'] = cv2.copyMakeBorder(
        np.ascontiguousarray(results['img']), *border, cv2.BORDER_CONSTANT,
        value=colour)
    results['img_shape'] = results['pad_shape'] = (height, width)
    if results.get('gt_seg_map') is not None:
        void = 0 if 'segments_info' in results else results.get('ignore_index', 255)
        results['gt_seg_map'] = np.pad(
            results['gt_seg_map'], ((0, border[1]), (0, border[3])), constant_values=void)
    if results.get('gt_masks') is not None:
        results['gt_masks'] = results['gt_masks'].pad((height, width), pad_val=0)
