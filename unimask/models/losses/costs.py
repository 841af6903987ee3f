"""Costs of giving a ground-truth segment to a query.

Shapes: R queries (of all predictions), N segments of the image, K classes, P points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch.nn.functional as F
from torch import Tensor

from unimask.ops.pairs import PairStatistics, pair_statistics
from unimask.registry import TASK_UTILS


@dataclass(frozen=True)
class MatchInputs:
    """One image's queries and segments, float32.

    Attributes:
        class_logits: (R, K + 1).
        labels: (N,).
        mask_logits: (R, P) at the points.
        masks: (N, P) at the same points.
    """

    class_logits: Tensor
    labels: Tensor
    mask_logits: Tensor
    masks: Tensor

    @cached_property
    def statistics(self) -> PairStatistics:
        """Sums over the points that several costs need, made once."""
        return pair_statistics(self.mask_logits, self.masks)


@dataclass(frozen=True)
class _Cost:
    weight: float = 1.0


@TASK_UTILS.register_module()
class ClassCost(_Cost):
    """Minus the probability of the segment's class (DETR, section 3.1)."""

    def __call__(self, inputs: MatchInputs) -> Tensor:
        return -self.weight * inputs.class_logits.softmax(-1)[:, inputs.labels]


@TASK_UTILS.register_module()
class MaskBCECost(_Cost):
    """Binary cross-entropy, averaged over the points (Mask2Former, section 3.3)."""

    def __call__(self, inputs: MatchInputs) -> Tensor:
        sums = inputs.statistics
        points = inputs.mask_logits.shape[1]
        return self.weight * (sums.softplus[:, None] - sums.product) / points


@TASK_UTILS.register_module()
class DiceCost(_Cost):
    """One minus the dice coefficient, one added above and below (MaskFormer, section 3.2)."""

    def __call__(self, inputs: MatchInputs) -> Tensor:
        sums = inputs.statistics
        overlap = 2 * sums.sigmoid_product + 1
        size = sums.sigmoid[:, None] + inputs.masks.sum(1) + 1
        return self.weight * (1 - overlap / size)


@TASK_UTILS.register_module()
class MaskFocalCost(_Cost):
    """Sigmoid focal loss, alpha 1/4, gamma 2, averaged over the points (MaskFormer)."""

    def __call__(self, inputs: MatchInputs) -> Tensor:
        logits, alpha = inputs.mask_logits, 0.25
        probability = logits.sigmoid()
        inside = alpha * (1 - probability).square() * F.softplus(-logits)
        outside = (1 - alpha) * probability.square() * F.softplus(logits)
        cost = (inside - outside) @ inputs.masks.T + outside.sum(1, keepdim=True)
        return self.weight * cost / logits.shape[1]
