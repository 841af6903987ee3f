"""Masks: boxes around them, and many of them in little memory.

Shapes: N masks, (H, W) pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['PackedMasks', 'boxes_of_extents', 'mask_boxes', 'pack_bits']


def mask_boxes(masks: Tensor) -> Tensor:
    """(N, H, W) bool -> (N, 4) float, x0 y0 x1 y1, right and bottom exclusive; zeros if empty."""
    return boxes_of_extents(masks.any(1), masks.any(2))


def boxes_of_extents(columns: Tensor, rows: Tensor) -> Tensor:
    """Boxes as of :func:`mask_boxes` from the columns (N, W) and rows (N, H) that are used."""
    edges = []
    for used in (columns, rows):
        size = used.shape[1]
        place = torch.arange(size, device=used.device)
        low = torch.where(used, place, size).amin(1)
        high = torch.where(used, place + 1, 0).amax(1)
        edges.append((torch.minimum(low, high), high))
    (x0, x1), (y0, y1) = edges
    return torch.stack([x0, y0, x1, y1], 1).float()


def pack_bits(masks: Tensor) -> Tensor:
    """(..., W) bool -> (..., ceil(W / 8)) uint8, the first pixel in the highest bit."""
    padded = F.pad(masks, (0, -masks.shape[-1] % 8)).unflatten(-1, (-1, 8))
    weights = 2 ** torch.arange(7, -1, -1, dtype=torch.uint8, device=masks.device)
    return (padded * weights).sum(-1, dtype=torch.uint8)


@dataclass(frozen=True)
class PackedMasks:
    """Masks of one size in an eighth of the memory of a bool tensor.

    A sequence: ``masks[3]`` is a bool tensor (H, W), ``masks[tensor or slice]`` are fewer masks.

    Attributes:
        bits: (N, H, ceil(W / 8)) uint8, see :func:`pack_bits`.
        width: W.
    """

    bits: Tensor
    width: int

    def __len__(self) -> int:
        return len(self.bits)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, H, W)."""
        return (*self.bits.shape[:2], self.width)

    def __getitem__(self, index: int | slice | Tensor) -> Tensor | PackedMasks:
        """One mask, (H, W) bool, or several, still packed."""
        chosen = self.bits[index]
        if chosen.dim() == 3:
            return PackedMasks(chosen, self.width)
        shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=chosen.device)
        return (chosen[..., None] >> shifts).bitwise_and(1).flatten(-2)[:, :self.width].bool()

    def cpu(self) -> PackedMasks:
        """The same in the memory of the host."""
        return PackedMasks(self.bits.cpu(), self.width)
