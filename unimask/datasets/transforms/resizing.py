"""Resizing of images together with their labels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from unimask.datasets.transforms.base import BaseTransform
from unimask.datasets.transforms.geometry import resize_sample, shape_within
from unimask.errors import UserError
from unimask.registry import TRANSFORMS

__all__ = ['LargeScaleJitter', 'Resize', 'ResizeInto', 'ResizeShortestEdge']


@TRANSFORMS.register_module()
class ResizeShortestEdge(BaseTransform):
    """Scale so that the short edge has a given length, unless the long edge gets too long.

    Args:
        short_edge: Length in pixels, or several to draw from with equal chances.
        max_long: Limit of the long edge in pixels; None = no limit.
    """

    def __init__(self, *, short_edge: int | Sequence[int], max_long: int | None = None) -> None:
        self.short_edge = (short_edge,) if isinstance(short_edge, int) else tuple(short_edge)
        self.max_long = max_long

    def transform(self, results: dict) -> dict:
        """Resize the sample."""
        height, width = results['img'].shape[:2]
        # kept apart from the single-length case so that testing draws no random numbers
        short = (self.short_edge[0] if len(self.short_edge) == 1
                 else int(np.random.choice(self.short_edge)))
        resize_sample(results, self._shape(height, width, short))
        return results

    def _shape(self, height: int, width: int, short: int) -> tuple[int, int]:
        scale = short / min(height, width)
        new_height, new_width = (short, scale * width) if height < width else (
            scale * height, short)
        if self.max_long is not None and max(new_height, new_width) > self.max_long:
            scale = self.max_long / max(new_height, new_width)
            new_height, new_width = new_height * scale, new_width * scale
        return max(int(new_height + 0.5), 1), max(int(new_width + 0.5), 1)


@TRANSFORMS.register_module()
class ResizeInto(BaseTransform):
    """Fit the image into a rectangle of a random size, aspect kept (MMSegmentation's ``Resize``).

    The rectangle lies as the image does.

    Args:
        size: Long and short edge of the rectangle for a ratio of 1, in pixels.
        ratios: The rectangle is this much larger: one of these, with equal chances.
        ratio_range: Instead, uniform in this range.

    Raises:
        UserError: Both kinds of ratios are given, or none, or an empty or reversed one.
    """

    def __init__(self, *, size: tuple[int, int], ratios: Sequence[float] = (),
                 ratio_range: tuple[float, float] | None = None) -> None:
        if bool(ratios) == (ratio_range is not None):
            raise UserError('ResizeInto draws one of `ratios`, or in `ratio_range`: state one of '
                            'the two.')
        if ratio_range is not None and not 0 < ratio_range[0] <= ratio_range[1]:
            raise UserError(f'ResizeInto: ratio_range={ratio_range} is no range of factors.')
        self.size = tuple(size)
        self.ratios = tuple(ratios)
        self.ratio_range = ratio_range

    def transform(self, results: dict) -> dict:
        """Resize the sample."""
        ratio = (np.random.choice(self.ratios) if self.ratio_range is None
                 else np.random.uniform(*self.ratio_range))
        height, width = results['img'].shape[:2]
        long, short = (int(edge * ratio) for edge in self.size)
        scale = min(long / max(height, width), short / min(height, width))
        shape = max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)
        resize_sample(results, shape)
        return results


@TRANSFORMS.register_module()
class LargeScaleJitter(BaseTransform):
    """Fit the image into a square of a random size, aspect kept.

    With ``FixedSizeCrop`` after it, this is the large scale jittering of Ghiasi et al., "Simple
    Copy-Paste is a Strong Data Augmentation Method" (CVPR 2021), as Mask2Former uses it.

    Args:
        size: Edge of the square for a ratio of 1, in pixels.
        ratio_range: The ratio is uniform in this range.
    """

    crop_option = 'size'  # what a config's `crop_size` sets

    def __init__(self, *, size: int = 1024,
                 ratio_range: tuple[float, float] = (0.1, 2.0)) -> None:
        self.size = size
        self.ratio_range = tuple(ratio_range)

    def transform(self, results: dict) -> dict:
        """Resize the sample."""
        height, width = results['img'].shape[:2]
        target = self.size * np.random.uniform(*self.ratio_range)
        scale = min(target / height, target / width)
        shape = np.round(np.multiply((height, width), scale)).astype(int)
        resize_sample(results, (max(int(shape[0]), 1), max(int(shape[1]), 1)))
        return results


@TRANSFORMS.register_module()
class Resize(BaseTransform):
    """Resize to a fixed size or by a factor, without antialiasing, as MMDetection's does.

    The other transforms here smooth what they make smaller (PIL). This one is for models that were
    trained and are tested by the pipelines of MMDetection and MMSegmentation.

    Args:
        scale: Width and height in pixels.
        scale_factor: Instead, a factor.
        keep_ratio: Keep the aspect: ``scale`` is a rectangle to fit the image into, lying as the
            image does.

    Raises:
        UserError: Both of ``scale`` and ``scale_factor`` are given, or none.
    """

    def __init__(self, scale: tuple[int, int] | None = None, *, scale_factor: float | None = None,
                 keep_ratio: bool = False) -> None:
        if (scale is None) == (scale_factor is None):
            raise UserError('Resize: state one of `scale` (width, height) and `scale_factor`.')
        self.scale = None if scale is None else tuple(scale)
        self.scale_factor = scale_factor
        self.keep_ratio = keep_ratio

    def transform(self, results: dict) -> dict:
        """Resize the sample."""
        old = results['img'].shape[:2]
        height, width = shape = self._shape(old)
        results['img'] = cv2.resize(results['img'], (width, height))
        if results.get('gt_seg_map') is not None:
            results['gt_seg_map'] = cv2.resize(results['gt_seg_map'], (width, height),
                                               interpolation=cv2.INTER_NEAREST)
        if results.get('gt_masks') is not None:
            results['gt_masks'] = results['gt_masks'].resize(shape)
        results['img_shape'] = shape
        results['scale_factor'] = (width / old[1], height / old[0])
        return results

    def _shape(self, old: tuple[int, int]) -> tuple[int, int]:
        # A factor is made a rectangle first, as there: the edges are rounded once more.
        height, width = (self.scale[::-1] if self.scale else
                         shape_within(old, self.scale_factor))
        return shape_within(old, (width, height)) if self.keep_ratio else (height, width)
