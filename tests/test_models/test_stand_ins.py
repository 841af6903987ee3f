"""What MMDetection's names of backbones mean without it; numbers: test_twins_of_timm."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

from unimask.errors import UserError
from unimask.models.backbones import TimmBackbone, TimmSwin
from unimask.preflight.components import find_component
from unimask.registry import MODELS
from unimask.stand_ins import STAND_INS

BASES = Path(__file__).resolve().parents[2] / 'configs/_base_/backbones'
SWIN = dict(type='mmdet.SwinTransformer', embed_dims=12, depths=(1, 2, 1, 1),
            num_heads=(1, 2, 2, 4), window_size=5, mlp_ratio=2, qkv_bias=False, patch_size=2,
            strides=(2, 2, 2, 2), drop_path_rate=0.2)


def described(name: str) -> dict:
    return Config.fromfile(BASES / f'{name}.py').encoder.backbone


def standing_in(config: dict) -> nn.Module:
    options = dict(config)
    return STAND_INS[options.pop('type')](**options)


def state(backbone: nn.Module) -> tuple:
    """Everything about a backbone but its values."""
    learning = [(name, each.shape, each.requires_grad)
                for name, each in backbone.named_parameters()]
    kinds = [(type(each).__name__, getattr(each, 'drop_prob', None), each.training)
             for each in backbone.train().modules()]
    return learning, kinds


@pytest.mark.parametrize('file', sorted(BASES.glob('timm-*.py')), ids=lambda path: path.stem)
def test_published_backbones(file: Path) -> None:
    """The stand-in of a file's backbone is that of the file for timm."""
    with torch.device('meta'):
        ours, wanted = (standing_in(described(file.stem.removeprefix('timm-'))),
                        MODELS.build(described(file.stem)))
    assert state(ours) == state(wanted)


@pytest.mark.parametrize('name', ['mmdet.SwinTransformer', 'mmseg.SwinTransformer'])
def test_swin(name: str) -> None:
    backbone = standing_in(dict(SWIN, type=name, out_indices=[0, 1, 2, 3], pretrain_img_size=384))
    assert isinstance(backbone, TimmSwin)
    theirs = MODELS.build(SWIN)
    count = [sum(p.numel() for p in each.parameters()) for each in (backbone, theirs)]
    assert count[0] == count[1]
    assert backbone.strides == (2, 4, 8, 16)
    assert backbone.layers[3].blocks[0].drop_path1.drop_prob == pytest.approx(0.2)


@pytest.mark.parametrize(('name', 'norm_eval'), [('mmdet.ResNet', True), ('mmseg.ResNet', False)])
def test_norms_by_default(name: str, norm_eval: bool) -> None:
    backbone = standing_in(dict(type=name, depth=18))
    theirs = MODELS.build(dict(type=name, depth=18))
    assert isinstance(backbone, TimmBackbone)
    for each in (backbone, theirs):
        each.train()
        norms = [module for module in each.modules() if isinstance(module, nn.BatchNorm2d)]
        assert all(norm.training is not norm_eval for norm in norms)
        assert all(norm.weight.requires_grad for norm in norms)


@pytest.mark.parametrize(('config', 'message'), [
    (dict(type='mmdet.ResNet', depth=50, style='caffe'), "mmdet.ResNet with style='caffe'"),
    (dict(type='mmseg.ResNet', depth=50, deep_stem=True), 'mmseg.ResNet with deep_stem=True'),
    (dict(SWIN, use_abs_pos_embed=True), 'SwinTransformer with use_abs_pos_embed=True'),
    (dict(SWIN, strides=(4, 2, 2, 2)), r'with strides=\(4, 2, 2, 2\)'),
    (dict(SWIN, windows=3), 'with windows=3'),
])
def test_what_timm_has_not(config: dict, message: str) -> None:
    with pytest.raises(UserError, match=rf'{message} .*pip install "unimask\[mm\]"'):
        standing_in(config)


def test_names_in_configs_mean_them_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    small = dict(SWIN, embed_dims=8)
    assert type(MODELS.build(small)).__name__ == 'SwinTransformer'
    monkeypatch.setitem(sys.modules, 'mmdet.registry', None)  # makes its import fail
    assert isinstance(MODELS.build(small), TimmSwin)
    assert find_component('mmdet.ResNet') is STAND_INS['mmdet.ResNet']
