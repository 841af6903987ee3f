"""Backbones that MMDetection and MMSegmentation lack; theirs have the prefixes mmdet., mmseg."""

from __future__ import annotations

from unimask.models.backbones import stand_ins
from unimask.models.backbones.info import out_channels
from unimask.models.backbones.resnet import StagedResNet
from unimask.models.backbones.semask import SeMaskEncoder, SeMaskMiT, SeMaskSwin
from unimask.models.backbones.swin import TimmSwin
from unimask.models.backbones.timm import TimmBackbone

__all__ = ['SeMaskEncoder', 'SeMaskMiT', 'SeMaskSwin', 'StagedResNet', 'TimmBackbone', 'TimmSwin',
           'out_channels']
