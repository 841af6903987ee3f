"""Heads: pixel features in, mask predictions out."""
from __future__ import annotations

from unimask.models.heads.mask2former import Mask2FormerHead
from unimask.models.heads.maskformer import MaskFormerHead

__all__ = ['Mask2FormerHead', 'MaskFormerHead']
