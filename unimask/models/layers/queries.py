"""What a decoder is asked with.

Shapes: B batch, T queries of which the first P are guided, E width, H heads or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class DecoderQueries:
    """Queries before the first layer, and how they may look at each other and at the image.

    Attributes:
        content: (B, T, E).
        position: Broadcastable to it, added where queries are compared; None for none.
        among: (B or 1, 1, T, T) bool, which query (row) sees which (column); None for all.
        guide: Layer -> (B, H, P, cells) bool, where the first P queries look in that layer; None
            where they look at their own masks, as all others do.
    """

    content: Tensor
    position: Tensor | None
    among: Tensor | None = None
    guide: Callable[[int], Tensor | None] | None = None
