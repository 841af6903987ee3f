"""Predictions with mask features of their own, and the losses of all of them.

Shapes: B batch, Q queries, K classes, C mask dimension, (h, w) mask features.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from unimask.registry import MODELS, build
from unimask.structures import MaskPrediction, TargetBatch

__all__ = ['StagedCriterion', 'StagedPrediction']


@dataclass(frozen=True)
class StagedPrediction(MaskPrediction):
    """The last prediction, and earlier ones.

    In Mask2Former all predictions share their mask features; in EoMT the image tokens change with
    every block.

    Attributes:
        earlier: In the order in which they were made, L = 1 each.
    """

    earlier: tuple[MaskPrediction, ...] = ()


@MODELS.register_module()
class StagedCriterion(nn.Module):
    """The same losses for every prediction: ``loss_*`` for the last, ``d{i}.loss_*`` before it.

    Args:
        criterion: Config or object, ``(prediction, targets) -> losses``.
    """

    def __init__(self, criterion: dict | nn.Module) -> None:
        super().__init__()
        self.criterion = build(MODELS, criterion)

    def forward(self, prediction: StagedPrediction, targets: TargetBatch) -> dict[str, Tensor]:
        """Weighted scalar losses."""
        losses = self.criterion(prediction, targets)
        for index, earlier in enumerate(prediction.earlier):
            losses |= {f'd{index}.{name}': value
                       for name, value in self.criterion(earlier, targets).items()}
        return losses
