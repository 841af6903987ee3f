"""Boundaries of masks (Cheng et al., "Boundary IoU", CVPR 2021, section 4).

Shapes: (h, w) pixels.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

__all__ = ['boundary_distance', 'boundary_pixels', 'mask_boundary']

_DIAGONAL_SHARE = 0.02
_OUTSIDE = -2  # no label, and not -1, which some maps use for ignored pixels


def boundary_distance(height: int, width: int) -> int:
    """How far a boundary reaches inwards: 2 % of the image's diagonal, in pixels, at least 1."""
    return max(1, round(_DIAGONAL_SHARE * math.hypot(height, width)))


def boundary_pixels(labels: np.ndarray, distance: int) -> np.ndarray:
    """Pixels near a contour: with another label, or the image's edge, within the distance.

    Distances are measured along the longer axis, as by repeated erosion with a 3 x 3 square.

    Args:
        labels: (h, w) integers from -1 to 32767.
        distance: In pixels.

    Returns:
        (h, w) bool.
    """
    square = np.ones((2 * distance + 1, 2 * distance + 1), np.uint8)
    border = dict(borderType=cv2.BORDER_CONSTANT, borderValue=_OUTSIDE)
    labels = labels.astype(np.int16)
    return cv2.erode(labels, square, **border) != cv2.dilate(labels, square)


def mask_boundary(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask (h, w) near its contour, (h, w) bool."""
    boundary = np.zeros(mask.shape, dtype=bool)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows):  # outside of its box there is nothing: the box's edge does for a contour
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        inside = mask[box].astype(bool)
        boundary[box] = inside & boundary_pixels(inside, boundary_distance(*mask.shape))
    return boundary
