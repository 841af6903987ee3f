"""The channels that a backbone is said to return are those that it returns."""

import pytest
import torch
from torch import nn

from unimask.errors import UserError
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
    dict(type='StagedResNet', depths=(1, 2, 1), widths=(8, 20, 12), strides=(2, 1, 2),
         out_indices=(0, 2)),
    dict(type='StagedResNet', depths=(1, 1, 2, 1), widths=(8, 10, 11, 16), bottleneck=False),
], ids=lambda config: config['type'])
def test_out_channels(config: dict) -> None:
    backbone = MODELS.build(config)
    backbone.eval()  # some of MMDetection's return None
    with torch.no_grad():
        outputs = backbone(torch.randn(1, 3, 64, 64))
    assert out_channels(backbone) == tuple(each.shape[1] for each in outputs)


@pytest.mark.parametrize(('depth', 'usual', 'stated'), [
    (18, dict(base_channels=8), dict(bottleneck=False, widths=(8, 16, 32, 64))),
    (50, dict(base_channels=4, stem_channels=12, style='caffe', strides=(2, 2, 2, 1)),
     dict(depths=(3, 4, 6, 3), widths=(16, 32, 64, 128), stem_channels=12, style='caffe',
          strides=(2, 2, 2, 1))),
    (50, dict(base_channels=4, norm_eval=False, norm_cfg=dict(type='BN', requires_grad=False)),
     dict(depths=(3, 4, 6, 3), widths=(16, 32, 64, 128), stem_channels=4, norm_eval=False,
          norm_cfg=dict(type='BN', requires_grad=False))),
])
def test_stages_of_the_usual_resnets(depth: int, usual: dict, stated: dict) -> None:
    """Stated by stages, a usual ResNet is the usual ResNet."""
    theirs = MODELS.build(dict(type='mmdet.ResNet', depth=depth, **usual))
    ours = MODELS.build(dict(dict(type='StagedResNet', depths=(2, 2, 2, 2), stem_channels=8),
                             **stated))
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64)
    for mode in (False, True):
        for each in (ours, theirs):
            each.train(mode)
        assert all(torch.equal(*pair) for pair in zip(ours(images), theirs(images), strict=True))
    assert [each.requires_grad for each in ours.parameters()] == [
        each.requires_grad for each in theirs.parameters()]


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(depths=(1, 1), widths=(8, 8, 8)), 'must name the same stages'),
    (dict(depths=(1,) * 5, widths=(8,) * 5, strides=(1,) * 5), 'four at most'),
    (dict(depths=(1,) * 4, widths=(8, 8, 10, 8)), '10 is no multiple'),
])
def test_stages_that_do_not_fit(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        MODELS.build(dict(type='StagedResNet', **settings))


def test_unknown_backbones_do_not_tell() -> None:
    assert out_channels(nn.Sequential(nn.Conv2d(3, 8, 3))) is None
