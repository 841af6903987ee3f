"""Boxes around masks.

Shapes: N masks, (H, W) pixels.
"""
from __future__ import annotations

import torch
from torch import Tensor

__all__ = ['mask_boxes']


def mask_boxes(masks: Tensor) -> Tensor:
    """(N, H, W) bool -> (N, 4) float, x0 y0 x1 y1, right and bottom exclusive; zeros if empty."""
    edges = []
    for axis in (1, 2):
        used = masks.any(axis)
        size = used.shape[1]
        place = torch.arange(size, device=masks.device)
        low = torch.where(used, place, size).amin(1)
        high = torch.where(used, place + 1, 0).amax(1)
        edges.append((torch.minimum(low, high), high))
    (x0, x1), (y0, y1) = edges
    return torch.stack([x0, y0, x1, y1], 1).float()
