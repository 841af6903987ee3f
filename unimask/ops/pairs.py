"""Sums over points for all pairs of masks, and for matched ones.

Shapes: R logit rows, N masks, P points.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from unimask.ops.cpu import native


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


class RowStatistics(NamedTuple):
    """What binary cross-entropy and dice of matched pairs are made of; each of the rows' shape.

    Attributes:
        softplus: Sum of softplus(x).
        sigmoid: Sum of sigmoid(x).
        product: Sum of x * t.
        sigmoid_product: Sum of sigmoid(x) * t.
        mask: Sum of t.
    """

    softplus: Tensor
    sigmoid: Tensor
    product: Tensor
    sigmoid_product: Tensor
    mask: Tensor


def row_statistics(logits: Tensor, masks: Tensor) -> RowStatistics:
    """Sums for logits and masks (..., P) of equal shape, both float32: (...) each."""
    if native.supports(logits, masks):
        sums = native.row_statistics(logits.flatten(0, -2), masks.flatten(0, -2))
        return RowStatistics(*sums.unflatten(1, logits.shape[:-1]))
    probability = logits.sigmoid()
    return RowStatistics(
        F.softplus(logits).sum(-1), probability.sum(-1), (logits * masks).sum(-1),
        (probability * masks).sum(-1), masks.sum(-1))
