"""Heads: pixel features in, predictions out."""

from __future__ import annotations

from unimask.models.heads.mask2former import Mask2FormerHead
from unimask.models.heads.mask_piloted import MaskPilotedHead
from unimask.models.heads.maskformer import MaskFormerHead, PerPixelQueryHead
from unimask.models.heads.per_pixel import PerPixelHead
from unimask.models.heads.query_head import QueryHead
from unimask.models.heads.semantic_prior import SemanticPriorHead

__all__ = ['Mask2FormerHead', 'MaskFormerHead', 'MaskPilotedHead', 'PerPixelHead',
           'PerPixelQueryHead', 'QueryHead', 'SemanticPriorHead']
