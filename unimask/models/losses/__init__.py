"""Set prediction losses: matcher, its costs, mask losses, the criterion."""
from __future__ import annotations

from unimask.models.losses.costs import ClassCost, DiceCost, MaskBCECost, MaskFocalCost
from unimask.models.losses.criterion import SetCriterion
from unimask.models.losses.mask_losses import MaskBCELoss, MaskDiceLoss, MaskFocalLoss
from unimask.models.losses.matcher import HungarianMatcher, Matches
from unimask.models.losses.samplers import UncertainPointSampler

__all__ = [
    'ClassCost', 'DiceCost', 'HungarianMatcher', 'MaskBCECost', 'MaskBCELoss', 'MaskDiceLoss',
    'MaskFocalCost', 'MaskFocalLoss', 'Matches', 'SetCriterion', 'UncertainPointSampler',
]
