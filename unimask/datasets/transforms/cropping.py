"""Cropping and padding of images together with their labels."""

from __future__ import annotations

import numpy as np

from unimask.datasets.transforms.base import BaseTransform
from unimask.datasets.transforms.geometry import crop_sample, pad_sample
from unimask.registry import TRANSFORMS

__all__ = ['FixedSizeCrop', 'PadToSize', 'RandomCrop', 'RandomRangeCrop']


@TRANSFORMS.register_module()
class FixedSizeCrop(BaseTransform):
    """Bring the image to a square: crop what is larger, pad what is smaller.

    One random number places the crop on both axes, as published. Padding is at bottom and right:
    128 in the image, void in the labels.

    Args:
        size: Edge in pixels.
    """

    crop_option = 'size'  # what a config's `crop_size` sets

    def __init__(self, *, size: int = 1024) -> None:
        self.size = size

    def transform(self, results: dict) -> dict:
        """Crop and pad the sample."""
        shape = np.array(results['img'].shape[:2])
        room = np.maximum(shape - self.size, 0)
        top, left = np.round(room * np.random.uniform(0.0, 1.0)).astype(int).tolist()
        height, width = np.minimum(shape, self.size).tolist()
        crop_sample(results, (top, left, height, width))
        pad_sample(results, (self.size, self.size))
        return results


@TRANSFORMS.register_module()
class PadToSize(BaseTransform):
    """Pad at bottom and right to at least a size, with void in the labels.

    Args:
        size: Height and width in pixels.
        colour: Of the padding in the image: blue, green, red.
    """

    crop_option = 'size'  # what a config's `crop_size` sets

    def __init__(self, size: tuple[int, int], colour: tuple[int, int, int] = (128, 128, 128)
                 ) -> None:
        self.size = tuple(size)
        self.colour = tuple(colour)

    def transform(self, results: dict) -> dict:
        """Pad the sample."""
        pad_sample(results, self.size, colour=self.colour)
        return results


@TRANSFORMS.register_module()
class RandomCrop(BaseTransform):
    """Crop a window of fixed size, or the whole axis where the image is smaller.

    Args:
        size: Height and width in pixels.
        max_area: Below 1, up to ten windows are drawn until one shows more than one class and no
            class covers this share of its labelled pixels; the last one is kept otherwise.
    """

    crop_option = 'size'  # what a config's `crop_size` sets
    TRIES = 10

    def __init__(self, *, size: tuple[int, int], max_area: float = 1.0) -> None:
        self.size = tuple(size)
        self.max_area = max_area

    def transform(self, results: dict) -> dict:
        """Crop the sample."""
        box = self._draw(results['img'].shape[:2])
        if self.max_area < 1 and results.get('gt_seg_map') is not None:
            for _ in range(self.TRIES - 1):
                if self._is_mixed(results, box):
                    break
                box = self._draw(results['img'].shape[:2])
        crop_sample(results, box)
        return results

    def _draw(self, shape: tuple[int, int]) -> tuple[int, int, int, int]:
        return _random_window(shape, (min(self.size[0], shape[0]), min(self.size[1], shape[1])))

    def _is_mixed(self, results: dict, box: tuple[int, int, int, int]) -> bool:
        top, left, height, width = box
        window = results['gt_seg_map'][top:top + height, left:left + width]
        values, counts = np.unique(window, return_counts=True)
        if 'segments_info' in results:
            classes = {s['id']: s['category'] for s in results['segments_info']}
            areas = np.bincount([classes.get(v, -1) + 1 for v in values.tolist()], counts)[1:]
        else:
            areas = counts[values != results['ignore_index']]
        areas = areas[areas > 0]
        return len(areas) > 1 and areas.max() < areas.sum() * self.max_area


@TRANSFORMS.register_module()
class RandomRangeCrop(BaseTransform):
    """Crop a window whose edges are drawn independently, as DETR does.

    Args:
        min_size: Shortest edge in pixels (or the image's, where that is shorter).
        max_size: Longest edge in pixels.
    """

    def __init__(self, *, min_size: int, max_size: int) -> None:
        self.min_size = min_size
        self.max_size = max_size

    def transform(self, results: dict) -> dict:
        """Crop the sample."""
        shape = results['img'].shape[:2]
        height, width = (
            np.random.randint(min(edge, self.min_size), min(edge, self.max_size) + 1)
            for edge in shape)
        crop_sample(results, _random_window(shape, (height, width)))
        return results


def _random_window(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    top = np.random.randint(shape[0] - size[0] + 1)
    left = np.random.randint(shape[1] - size[1] + 1)
    return top, left, size[0], size[1]
