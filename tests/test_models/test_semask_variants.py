"""Parts of SeMask of which nobody published numbers: the Mix Transformer, and MaskFormer's head."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from unimask.models.backbones import SeMaskEncoder
from unimask.registry import MODELS

CLASSES = ('a', 'b', 'c', 'd')
MIT = dict(type='mmseg.MixVisionTransformer', embed_dims=8, num_layers=(1, 2, 1, 1),
           num_heads=(1, 2, 4, 4))
SWIN = dict(type='mmdet.SwinTransformer', embed_dims=8, depths=(1, 1, 1, 1),
            num_heads=(1, 2, 2, 4), window_size=4, drop_path_rate=0.0)


def decorated(encoder: dict) -> dict:
    return dict(type='SeMaskEncoder', encoder=encoder, windows=(4, 4, None, None))


def in_a_loop(model: SeMaskEncoder, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The decorated Mix Transformer, stage by stage: the norm of a stage follows its layer."""
    plain = copy.deepcopy(model.encoder)
    for module in plain.modules():
        module._forward_hooks.clear()
    x, maps, scores = images, [], []
    for (embed, blocks, norm), layer in zip(plain.layers, model.semantic_layers, strict=True):
        tokens, size = embed(x)
        for block in blocks:
            tokens = block(tokens, size)
        semantic, out = layer(tokens.unflatten(1, size))
        x = norm(out).permute(0, 3, 1, 2)
        maps.append(x)
        scores.append(semantic.permute(0, 3, 1, 2))
    return maps, scores


@pytest.mark.parametrize('size', [(64, 96), (53, 77)])
def test_where_the_layers_of_the_mix_transformer_are(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = MODELS.build(dict(decorated(MIT), num_classes=3)).eval()
    for layer in model.semantic_layers:
        nn.init.constant_(layer.blocks[0].gamma, 0.5)
        nn.init.normal_(layer.norm.weight)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        found = model(images)
        maps, scores = in_a_loop(model, images)
    for ours, expected in ((found.maps, maps), (found.semantic, scores)):
        for one, two in zip(ours, expected, strict=True):
            torch.testing.assert_close(one, two)


def small(repo: Path, config: str, encoder: dict) -> nn.Module:
    """The model of a config, with a small encoder and few classes."""
    cfg = Config.fromfile(repo / 'configs/semask' / config).model
    cfg['backbone'], cfg['taxonomy'] = decorated(encoder), dict(classes=CLASSES)
    cfg['init_cfg'] = None
    if 'norm_cfg' in cfg.neck:
        cfg.neck.norm_cfg = dict(type='BN')
    if 'num_queries' in cfg.head:
        cfg.head.num_queries = 7
    torch.manual_seed(0)
    return MODELS.build(cfg)


def batch() -> tuple[Tensor, list[SegDataSample]]:
    torch.manual_seed(1)
    labels = torch.randint(0, 4, (2, 1, 64, 96))
    labels[:, :, :8] = 255
    samples = [SegDataSample(metainfo=dict(img_shape=(64, 96), ori_shape=(64, 96)),
                             gt_sem_seg=PixelData(sem_seg=each)) for each in labels]
    return torch.randn(2, 3, 64, 96), samples


VARIANTS = {
    'maskformer': ('semask-swin-l_maskformer_8xb2_ade20k.py', SWIN),
    'mit-fpn': ('semask-mit-b0_fpn_8xb2_ade20k.py', MIT),
    'mit-mask2former': ('semask-mit-b2_mask2former_8xb2_ade20k.py', MIT),
}


@pytest.mark.parametrize('variant', VARIANTS)
def test_everything_learns(variant: str, repo: Path) -> None:
    model = small(repo, *VARIANTS[variant]).train()
    inputs, samples = batch()
    losses = model(inputs, samples, mode='loss')
    assert 'aux.loss_sem' in losses
    sum(losses.values()).backward()
    still = [name for name, parameter in model.named_parameters()
             if parameter.requires_grad and parameter.grad is None]
    assert not still
    assert all(layer.blocks[0].gamma.grad != 0 for layer in model.backbone.semantic_layers)


def test_losses_of_semask_maskformer(repo: Path) -> None:
    """Six predictions, dense losses that draw nothing, and the prior's loss once."""
    model = small(repo, *VARIANTS['maskformer']).eval()
    inputs, samples = batch()
    with torch.no_grad():
        first, second = (model(inputs, samples, mode='loss') for _ in range(2))
        scores = model(inputs, samples, mode='predict')[0].pred_sem_seg.sem_seg
    kinds = ('loss_cls', 'loss_mask', 'loss_dice')
    assert set(first) == {'aux.loss_sem', *kinds, *(f'd{i}.{k}' for i in range(5) for k in kinds)}
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert scores.shape == (1, 64, 96)
    prior = first['aux.loss_sem'] / 0.4
    features = model.encode(inputs)
    (logits,) = model.auxiliary['aux'].head(features).logits
    logits = nn.functional.interpolate(logits, (64, 96), mode='bilinear', align_corners=True)
    wanted = torch.stack([each.gt_sem_seg.sem_seg[0] for each in samples])
    torch.testing.assert_close(prior, nn.functional.cross_entropy(logits, wanted, ignore_index=255))
