"""Colour jitter."""

from __future__ import annotations

import cv2
import numpy as np

from unimask.datasets.transforms.base import BaseTransform
from unimask.registry import TRANSFORMS

__all__ = ['ColorAugSSD']

STEPS = np.arange(256, dtype=np.float32)


@TRANSFORMS.register_module()
class ColorAugSSD(BaseTransform):
    """Colour jitter of Liu et al., "SSD: Single Shot MultiBox Detector" (ECCV 2016).

    Brightness +-32, contrast and saturation x0.5 to x1.5, hue +-18 of 180, each with probability
    one half; the contrast comes before saturation and hue or after them. Values are clipped and cut
    to 8 bits after each step. mmseg's PhotoMetricDistortion never draws the hue +18; the rest is
    equal, but here every step is one table look-up.
    """

    BRIGHTNESS = 32
    CONTRAST = SATURATION = (0.5, 1.5)
    HUE = 18

    def transform(self, results: dict) -> dict:
        """Jitter ``img`` (h, w, 3), uint8 BGR."""
        image = np.ascontiguousarray(results['img'])
        if _coin():
            shift = np.random.uniform(-self.BRIGHTNESS, self.BRIGHTNESS)
            image = cv2.LUT(image, _table(STEPS + shift))
        contrast_first = _coin()
        if contrast_first:
            image = self._contrast(image)
        image = self._hue(self._saturation(image))
        if not contrast_first:
            image = self._contrast(image)
        results['img'] = image
        return results

    def _contrast(self, image: np.ndarray) -> np.ndarray:
        if not _coin():
            return image
        return cv2.LUT(image, _table(STEPS * np.random.uniform(*self.CONTRAST)))

    def _saturation(self, image: np.ndarray) -> np.ndarray:
        if not _coin():
            return image
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        table = _table(STEPS * np.random.uniform(*self.SATURATION))
        hsv[..., 1] = cv2.LUT(hsv[..., 1], table)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)

    def _hue(self, image: np.ndarray) -> np.ndarray:
        if not _coin():
            return image
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        shift = np.random.randint(-self.HUE, self.HUE + 1)
        hsv[..., 0] = cv2.LUT(hsv[..., 0], ((STEPS + shift) % 180).astype(np.uint8))
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def _coin() -> bool:
    return np.random.rand() < 0.5


def _table(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).astype(np.uint8)
