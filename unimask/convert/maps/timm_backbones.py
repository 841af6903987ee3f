"""Names of whole models of unimask whose backbone is one of timm.

To the other maps a ResNet or Swin has MMDetection's names. The same model with timm's ResNet
(``TimmBackbone``) or Swin (``TimmSwin``) gives the same numbers under the names here.
"""

from __future__ import annotations

from unimask.convert.maps.common import INDICES, window_indices
from unimask.convert.maps.detectron2 import AFFINE, NORM, swin_rules
from unimask.convert.rules import NameMap, Rule

__all__ = ['TIMM_RESNET', 'TIMM_SWIN']

REST = Rule('{part:neck|head|auxiliary}.{p*}', '{part}.{p}')
ENCODER = r'backbone.{e:|encoder\.}'  # SeMask has its encoder one level further down
SEMANTIC = Rule('backbone.semantic_layers.{p*}', 'backbone.semantic_layers.{p}')
BODY = ENCODER + 'body.'
BLOCK, LAYER = BODY + 'layer{s}.{b}.', 'backbone.{e}layer{s}.{b}.'

TIMM_RESNET = NameMap(
    name='timm-resnet',
    signature=(BODY + 'layer1.0.conv1.weight',),
    # Name by name: ResNets with other stems or shortcuts have more, and no twin.
    rules=(Rule(BODY + 'conv1.weight', 'backbone.{e}conv1.weight'),
           Rule(BODY + 'bn1.' + NORM, 'backbone.{e}bn1.{p}'),
           Rule(BLOCK + 'conv{c}.weight', LAYER + 'conv{c}.weight'),
           Rule(BLOCK + 'bn{c}.' + NORM, LAYER + 'bn{c}.{p}'),
           Rule(BLOCK + 'downsample.0.weight', LAYER + 'downsample.0.weight'),
           Rule(BLOCK + 'downsample.1.' + NORM, LAYER + 'downsample.1.{p}'), SEMANTIC, REST),
)

TIMM_SWIN = NameMap(
    name='timm-swin',
    signature=(ENCODER + 'layers.{i}.blocks.{j}.attn.qkv.weight',),
    rules=(Rule(ENCODER + 'norm{i}.' + AFFINE, 'backbone.{e}norm{i}.{p}'),
           *swin_rules(ENCODER, 'backbone.{e}', merged_stage='{i-1}'), SEMANTIC, REST),
    supply=(window_indices,),
    drops=(INDICES,),
)
