"""Branches that learn beside the main path."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from unimask.registry import MODELS, build
from unimask.structures import BackboneFeatures, TargetBatch


class AuxiliaryBranch(nn.Module):
    """A head on the backbone's features and the criterion that compares its prediction.

    Args:
        head: Config or object, ``BackboneFeatures -> prediction``.
        criterion: Config or object, ``(prediction, targets) -> losses``.
        facts: What the segmentor knows, for options of the head.
    """

    def __init__(self, *, head: dict | nn.Module, criterion: dict | nn.Module,
                 facts: Mapping[str, object]) -> None:
        super().__init__()
        self.head = build(MODELS, head, **facts)
        self.criterion = build(MODELS, criterion)

    def forward(self, features: BackboneFeatures, targets: TargetBatch) -> dict[str, Tensor]:
        """Weighted losses by name."""
        return self.criterion(self.head(features), targets)
