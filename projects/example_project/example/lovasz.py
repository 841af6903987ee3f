"""A mask loss that follows the intersection over union.

Shapes: L predictions, R matched pairs of all images, P points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unimask.errors import UserError
from unimask.registry import MODELS

__all__ = ['MaskLovaszLoss']


@MODELS.register_module()
@dataclass(frozen=True, kw_only=True)
class MaskLovaszLoss:
    """The Lovasz hinge of every mask (Berman et al., 2018, section 2.2 and algorithm 1).

    It is a convex bound of 1 - IoU: the errors of all points are sorted, and each weighs what
    the IoU loses if it and all larger ones are wrong. Small segments thereby count as much as large
    ones, point by point.

    Attributes:
        weight: Of the loss in the total.
        name: What the loss is called in logs: ``loss_lovasz``.
    """

    name: ClassVar[str] = 'lovasz'
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise UserError(f'MaskLovaszLoss: weight={self.weight} must not be negative.')

    def __call__(self, logits: Tensor, masks: Tensor) -> Tensor:
        """The loss of every prediction.

        Args:
            logits: (L, R, P) of matched pairs.
            masks: (L, R, P) between 0 and 1; from 1/2 on a point belongs to the segment.

        Returns:
            (L,), summed over the pairs; the criterion divides by the number of segments.
        """
        inside = masks >= 0.5
        errors, order = (1 - torch.where(inside, logits, -logits)).sort(-1, descending=True)
        steps = iou_steps(inside.gather(-1, order).to(errors.dtype))
        return self.weight * (errors.relu() * steps).sum((-2, -1))


def iou_steps(inside: Tensor) -> Tensor:
    """How much 1 - IoU grows with every further wrong point, (..., P).

    Args:
        inside: (..., P), 1 for points of the segment, in the order in which they are wrong.
    """
    size = inside.sum(-1, keepdim=True)
    intersection = size - inside.cumsum(-1)
    union = size + (1 - inside).cumsum(-1)
    lost = 1 - intersection / union
    return torch.cat([lost[..., :1], lost.diff(dim=-1)], dim=-1)
