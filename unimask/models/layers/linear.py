"""Linear layers, computed the way that is fastest where they run.

Shapes: E inputs, F outputs, H hidden width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from unimask.ops.cpu import linear as onednn


class Linear(nn.Linear):
    """``nn.Linear``: (..., E) -> (..., F)."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class FeedForward(nn.Module):
    """Two linear layers with ReLU and dropout between them: (..., E) -> (..., E).

    Args:
        width: E.
        hidden: H.
        dropout: Of the hidden units.
    """

    def __init__(self, width: int, hidden: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear1 = Linear(width, hidden)
        self.linear2 = Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        if onednn.supports(x) and not (self.training and self.dropout.p):
            return onednn.feed_forward(x, self.linear1.weight, self.linear1.bias,
                                       self.linear2.weight, self.linear2.bias)
        return self.linear2(self.dropout(self.linear1(x).relu()))


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``F.linear``: x (..., E), weight (F, E), bias (F,) -> (..., F)."""
    if onednn.supports(x):
        return onednn.linear(x, weight, bias)
    return F.linear(x, weight, bias)
