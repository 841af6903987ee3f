"""timm's ResNet and Swin compute what MMDetection's do, under other names.

In float64, so that only rounding can differ; and in float32 for the published sizes.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch
from mmengine.model import BaseModule
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn

from unimask.convert.backbones import backbone_as_in
from unimask.errors import UserError
from unimask.models.backbones import TimmSwin, out_channels
from unimask.models.backbones.swin import PaddedBlock
from unimask.registry import MODELS

FROZEN = dict(norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True)
LEARNT = dict(norm_cfg=dict(type='BN', requires_grad=True), norm_eval=False)
SMALL = dict(embed_dims=12, depths=(2, 1, 2, 2), num_heads=(1, 2, 2, 4), window_size=4)
# MMDetection's, timm's.
PAIRS = {
    'swin': (dict(type='mmdet.SwinTransformer', **SMALL), dict(type='TimmSwin', **SMALL)),
    'swin7': tuple(dict(type=kind, **dict(SMALL, window_size=7, qkv_bias=False, mlp_ratio=2))
                   for kind in ('mmdet.SwinTransformer', 'TimmSwin')),
    'resnet18': (dict(type='mmdet.ResNet', depth=18, base_channels=8, stem_channels=64, **FROZEN),
                 dict(type='TimmBackbone', model_name='resnet18',
                      model_args=dict(channels=(8, 16, 32, 64)), **FROZEN)),
    'resnet50': (dict(type='mmdet.ResNet', depth=50, base_channels=8, stem_channels=64, **LEARNT),
                 dict(type='TimmBackbone', model_name='resnet50',
                      model_args=dict(channels=(8, 16, 32, 64)), **LEARNT)),
}
# Whole windows; maps as small as a window; no multiple of 32, of the window, of a patch.
SIZES = [(64, 64), (224, 224), (96, 128), (101, 133), (34, 200)]


@cache
def pair(name: str) -> tuple[BaseModule, BaseModule]:
    """Both backbones with the same weights, of which each matters, in float64."""
    return same_weights(*(MODELS.build(config).double() for config in PAIRS[name]))


def same_weights(theirs: BaseModule, ours: BaseModule) -> tuple[BaseModule, BaseModule]:
    torch.manual_seed(0)
    for name, value in theirs.state_dict().items():
        if name.endswith('running_var'):
            nn.init.uniform_(value, 0.5, 1.5)
        elif value.is_floating_point():  # activations keep their size
            spread = 0.5 * value[0].numel() ** -0.5 if value.dim() > 1 else 0.1
            value.add_(torch.randn_like(value), alpha=spread)
    weights = backbone_as_in(ours.state_dict().keys(), theirs.state_dict())
    ours.load_state_dict(weights, strict=True)
    for each in (theirs, ours):
        each.eval()
    return theirs, ours


def differences(theirs: BaseModule, ours: BaseModule, images: Tensor) -> list[float]:
    """The largest difference of each map, over the map's largest value."""
    with torch.no_grad():
        return [((a - b).abs().max() / a.abs().max()).item()
                for a, b in zip(theirs(images), ours(images), strict=True)]


@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('name', PAIRS)
def test_same_weights_same_maps(name: str, size: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    assert max(differences(*pair(name), images)) < 1e-12


@pytest.mark.parametrize('name', PAIRS)
def test_same_gradients_in_training(name: str) -> None:
    """Norms behave alike too: batch statistics or stored ones, learning or not."""
    theirs, ours = pair(name)
    images = torch.randn(2, 3, 50, 70, dtype=torch.float64)
    for each in (theirs, ours):
        each.train()
        for module in each.modules():  # random drops differ by design
            if type(module).__name__ == 'DropPath':
                module.eval()
        each.zero_grad()
        sum(x.square().mean() for x in each(images)).backward()
    gradients = backbone_as_in(ours.state_dict().keys(), {
        key: value.grad for key, value in theirs.named_parameters() if value.grad is not None})
    found = {key: value.grad for key, value in ours.named_parameters() if value.grad is not None}
    assert found.keys() == gradients.keys()
    for key, value in found.items():
        torch.testing.assert_close(value, gradients[key], rtol=1e-8, atol=1e-12)
    for key, value in backbone_as_in(ours.state_dict().keys(), theirs.state_dict()).items():
        torch.testing.assert_close(value, ours.state_dict()[key])  # statistics that were updated
    for each in (theirs, ours):
        each.eval()


@pytest.mark.parametrize('name', PAIRS)
def test_names_there_and_back(name: str) -> None:
    theirs, ours = pair(name)
    back = backbone_as_in(theirs.state_dict().keys(), ours.state_dict())
    assert back.keys() == theirs.state_dict().keys()
    assert all(torch.equal(back[key], value) for key, value in theirs.state_dict().items())
    assert len(ours.state_dict().keys() - theirs.state_dict().keys()) > 20
    assert out_channels(ours) == out_channels(theirs)


def test_timms_own_order_gives_other_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this Swin is for: timm's block shifts first and pads then."""
    monkeypatch.setattr(PaddedBlock, '_attn', SwinTransformerBlock._attn)
    padded, whole = (torch.randn(1, 3, *size, dtype=torch.float64)
                     for size in ((101, 133), (128, 128)))
    assert max(differences(*pair('swin'), padded)) > 1e-2
    assert max(differences(*pair('swin'), whole)) < 1e-12


def test_drop_path() -> None:
    def rates(backbone: BaseModule) -> list[float]:
        return [getattr(module, 'drop_prob', 0.0) or 0.0 for name, module
                in backbone.named_modules() if name.endswith(('drop_path1', 'attn.drop'))]

    theirs, ours = (MODELS.build(dict(config, drop_path_rate=0.3)) for config in PAIRS['swin'])
    given = [getattr(block.drop_path1, 'drop_prob', 0.0)
             for layer in ours.layers for block in layer.blocks]
    assert given == rates(theirs) and given[-1] == pytest.approx(0.3) and len({*given}) == 7
    assert given == [getattr(block.drop_path2, 'drop_prob', 0.0)
                     for layer in ours.layers for block in layer.blocks]
    assert not any(rates(MODELS.build(dict(PAIRS['swin'][1], drop_path_rate=0.0))))


def test_fresh_weights() -> None:
    torch.manual_seed(0)
    backbone = MODELS.build(dict(PAIRS['swin'][1], embed_dims=48))
    backbone.init_weights()
    linear = [module for module in backbone.modules() if isinstance(module, nn.Linear)]
    assert all(0.018 < module.weight.std() < 0.022 for module in linear)
    assert not any(module.bias.any() for module in linear if module.bias is not None)


def test_sizes_of_patches() -> None:
    theirs = MODELS.build(dict(PAIRS['swin'][0], patch_size=2, strides=(2, 2, 2, 2)))
    ours = MODELS.build(dict(PAIRS['swin'][1], patch_size=2))
    assert ours.strides == (2, 4, 8, 16)
    images = torch.randn(1, 3, 37, 50, dtype=torch.float64)
    assert max(differences(*same_weights(theirs.double(), ours.double()), images)) < 1e-12


@pytest.mark.parametrize('heads', [(1, 2, 2), (1, 2, 5, 4)])
def test_heads_that_do_not_fit(heads: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match='num_heads.*12, 24, 48, 96'):
        TimmSwin(**dict(SMALL, num_heads=heads))


@pytest.mark.parametrize('norm_cfg', [dict(type='GN'), dict(type='BN', eps=1e-3)])
def test_norms_that_timm_has_not(norm_cfg: dict) -> None:
    with pytest.raises(UserError, match='norm_cfg=.*SyncBN'):
        MODELS.build(dict(type='TimmBackbone', model_name='resnet18', norm_cfg=norm_cfg))


def test_norms_over_all_gpus() -> None:
    synced = MODELS.build(dict(type='TimmBackbone', model_name='resnet18',
                               norm_cfg=dict(type='SyncBN')))
    norms = [type(module) for module in synced.modules() if hasattr(module, 'running_mean')]
    assert set(norms) == {nn.SyncBatchNorm} and len(norms) == 20
    plain = MODELS.build(dict(type='TimmBackbone', model_name='resnet18'))
    plain.load_state_dict(synced.state_dict(), strict=True)


@pytest.mark.slow
@pytest.mark.parametrize('backbone', [
    'r50', 'r101', 'swin-t', 'swin-s', 'swin-b', 'swin-l', 'swin-b-in1k'])
def test_published_sizes(backbone: str, repo) -> None:
    from mmengine.config import Config
    theirs, ours = (
        MODELS.build(Config.fromfile(repo / f'configs/_base_/backbones/{name}.py').encoder.backbone)
        for name in (backbone, f'timm-{backbone}'))
    learning = [sum(p.numel() for p in each.parameters() if p.requires_grad)
                for each in (theirs, ours)]
    assert learning[0] == learning[1]
    assert max(differences(*same_weights(theirs, ours), torch.randn(1, 3, 101, 133))) < 1e-5
