"""Sums over points for all pairs of masks.

Shapes: R logit rows, N masks, P points.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from unimask.ops import native


class PairStatistics(NamedTuple):
    """What binary cross-entropy and dice of all pairs are made of.

    Attributes:
        softplus: (R,) sum of softplus(x).
        sigmoid: (R,) sum of sigmoid(x).
        product: (R, N) sum of x * t.
        sigmoid_product: (R, N) sum of sigmoid(x) * t.
    """

    softplus: Tensor
    sigmoid: Tensor
    product: Tensor
    sigmoid_product: Tensor


def pair_statistics(logits: Tensor, masks: Tensor) -> PairStatistics:
    """Sums for logits (R, P) and masks (N, P), both float32."""
    if native.supports(logits, masks):
        return PairStatistics(*native.pair_statistics(logits, masks))
    probability = logits.sigmoid()
    return PairStatistics(
        F.softplus(logits).sum(1), probability.sum(1), logits @ masks.T, probability @ masks.T)
