"""Losses of matched masks.

Shapes: L predictions, R matched pairs, P points (or pixels).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from unimask.ops.pairs import row_statistics
from unimask.registry import MODELS


@dataclass(frozen=True)
class _MaskLoss:
    """Weighted loss: logits and masks (L, R, P) -> (L,), summed over pairs."""

    weight: float = 1.0


@MODELS.register_module()
class MaskBCELoss(_MaskLoss):
    """Binary cross-entropy, averaged over the points."""

    name = 'mask'

    def __call__(self, logits: Tensor, masks: Tensor) -> Tensor:
        sums = row_statistics(logits, masks)
        return self.weight * (sums.softplus - sums.product).sum(-1) / logits.shape[-1]


@MODELS.register_module()
class MaskFocalLoss(_MaskLoss):
    """Sigmoid focal loss, alpha 1/4, gamma 2, averaged over the points (RetinaNet, eq. 5)."""

    name = 'mask'

    def __call__(self, logits: Tensor, masks: Tensor) -> Tensor:
        alpha = 0.25
        probability = logits.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction='none')
        miss = probability + masks - 2 * probability * masks
        balance = alpha * masks + (1 - alpha) * (1 - masks)
        return self.weight * (balance * miss.square() * entropy).mean(-1).sum(-1)


@MODELS.register_module()
class MaskDiceLoss(_MaskLoss):
    """One minus the dice coefficient, one added above and below."""

    name = 'dice'

    def __call__(self, logits: Tensor, masks: Tensor) -> Tensor:
        sums = row_statistics(logits, masks)
        overlap = 2 * sums.sigmoid_product + 1
        size = sums.sigmoid + sums.mask + 1
        return self.weight * (1 - overlap / size).sum(-1)
