"""Sine position encoding (DETR, appendix A.4)."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept must serve a later training too
def sine_position(size: tuple[int, int], channels: int, device: torch.device) -> Tensor:
    """Encoding of every cell of a map; depends on sizes only, so it is made once per size.

    Args:
        size: (h, w).
        channels: C, half of them for y (first), half for x.
        device: Where it is needed.

    Returns:
        (h * w, C) float32. Shared: do not change it.
    """
    with torch.no_grad():
        y, x = (_encode(length, channels // 2, device) for length in size)
        rows = y[:, None].expand(-1, size[1], -1)
        columns = x[None].expand(size[0], -1, -1)
        return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def _encode(length: int, features: int, device: torch.device) -> Tensor:
    """(length, features): sine at even places, cosine at odd ones, of the normalised index."""
    index = torch.arange(1, length + 1, dtype=torch.float32, device=device)
    angle = index / (length + 1e-6) * (2 * math.pi)
    place = torch.arange(features, dtype=torch.float32, device=device)
    frequency = 10000.0 ** (2 * (place // 2) / features)
    phase = angle[:, None] / frequency
    return torch.stack([phase[:, 0::2].sin(), phase[:, 1::2].cos()], dim=2).flatten(1)
