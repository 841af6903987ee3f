"""The channels that a backbone is said to return are those that it returns."""

import pytest
import torch
from torch import nn

from unimask.models.backbones import out_channels
from unimask.registry import MODELS

SWIN = dict(embed_dims=12, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4), window_size=4)


@pytest.mark.parametrize('config', [
    dict(type='mmdet.ResNet', depth=18, base_channels=8),
    dict(type='mmdet.ResNet', depth=50, base_channels=8, out_indices=(1, 3)),
    dict(type='mmseg.ResNetV1c', depth=50, base_channels=8, stem_channels=16),
    dict(type='mmdet.SwinTransformer', **SWIN),
    dict(type='mmdet.SwinTransformer', **SWIN, out_indices=(1, 2, 3)),
    dict(type='mmseg.SwinTransformer', **SWIN),
    dict(type='mmseg.MixVisionTransformer', embed_dims=8, num_layers=(1, 1, 1, 1),
         num_heads=(1, 2, 4, 4)),
    dict(type='TimmBackbone', model_name='resnet10t'),
], ids=lambda config: config['type'])
def test_out_channels(config: dict) -> None:
    backbone = MODELS.build(config)
    backbone.eval()  # some of MMDetection's return None
    with torch.no_grad():
        outputs = backbone(torch.randn(1, 3, 64, 64))
    assert out_channels(backbone) == tuple(each.shape[1] for each in outputs)


def test_unknown_backbones_do_not_tell() -> None:
    assert out_channels(nn.Sequential(nn.Conv2d(3, 8, 3))) is None
