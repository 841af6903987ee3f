"""Pairs of queries and ground-truth segments.

Shapes: L predictions, B batch, Q queries, R pairs of all images.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Matches:
    """Pairs of every prediction; within one, images in order, queries ascending.

    Attributes:
        queries: (L, R) query within the image.
        segments: (L, R) segment within the batch.
        images: (R,) image of the pair.
        counts: Pairs per image.
        copies: How often every segment is matched. Mask losses are divided by it, so that groups
            of queries for the same segments (mask piloting) weigh as much as one.
        counted: (B, Q) bool, queries that the classification loss counts; None for all.
    """

    queries: Tensor
    segments: Tensor
    images: Tensor
    counts: tuple[int, ...]
    copies: int = 1
    counted: Tensor | None = None
