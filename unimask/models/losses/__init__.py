"""Losses: the set criterion with its matcher, costs and mask losses; dense cross-entropy."""

from __future__ import annotations

from unimask.models.losses.costs import ClassCost, DiceCost, MaskBCECost, MaskFocalCost
from unimask.models.losses.criterion import SetCriterion
from unimask.models.losses.mask_losses import MaskBCELoss, MaskDiceLoss, MaskFocalLoss
from unimask.models.losses.matcher import HungarianMatcher
from unimask.models.losses.pixel_criterion import PixelCriterion
from unimask.models.losses.samplers import UncertainPointSampler

__all__ = [
    'ClassCost', 'DiceCost', 'HungarianMatcher', 'MaskBCECost', 'MaskBCELoss', 'MaskDiceLoss',
    'MaskFocalCost', 'MaskFocalLoss', 'PixelCriterion', 'SetCriterion', 'UncertainPointSampler',
]
