"""Colour jitter, against the formula written out."""

import cv2
import numpy as np
import pytest

from unimask.datasets.transforms import ColorAugSSD

IMAGE = np.random.RandomState(0).randint(0, 256, (8, 9, 3), np.uint8)


def _scripted(monkeypatch, coins: list[bool], uniform: float = 0.0, hue: int = 0) -> None:
    left = list(coins)
    monkeypatch.setattr(np.random, 'rand', lambda: 0.0 if left.pop(0) else 1.0)
    monkeypatch.setattr(np.random, 'uniform', lambda low, high: uniform)
    monkeypatch.setattr(np.random, 'randint', lambda low, high: hue)


def _cut(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).astype(np.uint8)


def test_nothing(monkeypatch):
    _scripted(monkeypatch, [False] * 5)
    np.testing.assert_array_equal(ColorAugSSD()(dict(img=IMAGE))['img'], IMAGE)


def test_brightness(monkeypatch):
    _scripted(monkeypatch, [True] + [False] * 4, uniform=-20.3)
    expected = _cut(IMAGE.astype(np.float32) - np.float32(20.3))
    np.testing.assert_array_equal(ColorAugSSD()(dict(img=IMAGE))['img'], expected)


def _saturated(image: np.ndarray, factor: float) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[..., 1] = _cut(hsv[..., 1].astype(np.float32) * np.float32(factor))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def test_hue(monkeypatch):
    _scripted(monkeypatch, [False, False, False, True, False], hue=-18)
    hsv = cv2.cvtColor(IMAGE, cv2.COLOR_BGR2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) - 18) % 180
    np.testing.assert_array_equal(
        ColorAugSSD()(dict(img=IMAGE))['img'], cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR))


@pytest.mark.parametrize('contrast_first', [True, False])
def test_order(monkeypatch, contrast_first):
    # brightness, whether contrast comes first, then the three in their order
    coins = [False, contrast_first, True, contrast_first, not contrast_first]
    _scripted(monkeypatch, coins, uniform=1.4)
    contrast = lambda image: _cut(image.astype(np.float32) * np.float32(1.4))  # noqa: E731
    expected = (_saturated(contrast(IMAGE), 1.4) if contrast_first
                else contrast(_saturated(IMAGE, 1.4)))
    np.testing.assert_array_equal(ColorAugSSD()(dict(img=IMAGE))['img'], expected)


def test_hue_is_symmetric():
    np.random.seed(0)
    drawn = []
    original = np.random.randint
    for _ in range(400):
        drawn.append(original(-ColorAugSSD.HUE, ColorAugSSD.HUE + 1))
    assert (min(drawn), max(drawn)) == (-18, 18)


def test_source_is_untouched():
    image = IMAGE.copy()
    for _ in range(20):
        ColorAugSSD()(dict(img=image))
    np.testing.assert_array_equal(image, IMAGE)
