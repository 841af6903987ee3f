"""Resizing of images together with their labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from unimask.datasets.transforms.geometry import resize_sample
from unimask.registry import TRANSFORMS

__all__ = ['LargeScaleJitter', 'ResizeShortestEdge']


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
