"""Small models of other libraries, with random weights in which every tensor matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

CLASSES, QUERIES = 5, 7
STAGES = ['stage1', 'stage2', 'stage3', 'stage4']
RESNET = dict(type='ResNet', depth=18, base_channels=16, norm_cfg=dict(type='BN'))
WIDTHS = [16, 32, 64, 128]
SWIN = dict(embed_dim=32, depths=[1, 2, 1, 1], num_heads=[1, 2, 4, 8], window_size=5)
# Hugging Face: what its config can state, beside what is published.
BACKBONES = {
    'swin': ('SwinConfig', SWIN),
    'resnet18': ('ResNetConfig', dict(embedding_size=16, hidden_sizes=[16, 32, 64, 128],
                                      depths=[2, 2, 2, 2], layer_type='basic')),
    'resnet': ('ResNetConfig', dict(embedding_size=24, hidden_sizes=[32, 48, 96, 128],
                                    depths=[1, 2, 1, 1], downsample_in_bottleneck=True)),
    'timm': ('TimmBackboneConfig', dict(backbone='resnet10t', out_indices=[1, 2, 3, 4],
                                        use_pretrained_backbone=False)),
}


@dataclass(frozen=True)
class Peer:
    """A model of another library.

    Attributes:
        model: The model.
        logits: Images -> final class and mask logits.
        text: Its config as text, of the libraries that keep one in their checkpoints.
    """

    model: nn.Module
    logits: Callable[[Tensor], tuple[Tensor, Tensor]]
    text: str = ''


def randomise(model: nn.Module) -> nn.Module:
    """Fresh models have zeros and ones; here every weight has a value of its own."""
    rng = torch.Generator().manual_seed(0)
    norms = {f'{name}.weight' for name, module in model.named_modules()
             if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm))}
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not value.is_floating_point() or name.startswith('criterion'):
                continue
            noise = torch.rand(value.shape, generator=rng) * 0.2 - 0.1
            if name in norms or name.endswith('running_var'):
                value.copy_(1 + noise)
            else:
                value.add_(noise)
    return model.eval()


def huggingface(arch: str, backbone: str) -> Peer:
    """MaskFormer or Mask2Former of ``transformers``; skips where it is not installed."""
    transformers = pytest.importorskip('transformers')
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    kind, settings = BACKBONES[backbone]
    stages = {} if backbone == 'timm' else dict(out_features=STAGES)
    encoder = getattr(transformers, kind)(**settings, **stages)
    if arch == 'mask2former':
        # Release 4 does not save the projections between unequal widths.
        width = 96 if int(transformers.__version__.partition('.')[0]) >= 5 else 64
        model = transformers.Mask2FormerForUniversalSegmentation(transformers.Mask2FormerConfig(
            backbone_config=encoder, feature_size=64, mask_feature_size=32, hidden_dim=width,
            encoder_layers=2, decoder_layers=4, num_attention_heads=4,
            encoder_feedforward_dim=48, dim_feedforward=80, num_queries=QUERIES,
            num_labels=CLASSES))
    else:
        decoder = transformers.DetrConfig(
            d_model=48, decoder_layers=2, decoder_ffn_dim=40, decoder_attention_heads=4,
            encoder_attention_heads=4, num_queries=QUERIES)
        model = transformers.MaskFormerForInstanceSegmentation(transformers.MaskFormerConfig(
            backbone_config=encoder, fpn_feature_size=32, mask_feature_size=64,
            decoder_config=decoder, num_labels=CLASSES))
    return Peer(randomise(model), lambda images: huggingface_logits(model, images))


def huggingface_logits(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Final class and mask logits."""
    outputs = model(images)
    return outputs.class_queries_logits, outputs.masks_queries_logits


def openmmlab(library: str, arch: str, *, encoder: bool = True) -> Peer:
    """MaskFormer or Mask2Former of MMDetection or MMSegmentation.

    Args:
        library: ``mmdet`` or ``mmseg``.
        arch: ``maskformer`` or ``mask2former``.
        encoder: Whether MaskFormer's pixel decoder has a transformer encoder.
    """
    import mmdet.models
    import mmseg.models

    files = dict(mask2former='mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py',
                 maskformer='maskformer/maskformer_r50_ms-16xb1-75e_coco.py')
    cfg = Config.fromfile(f'{mmdet.__path__[0]}/.mim/configs/{files[arch]}')
    model = cfg.model
    model.backbone = dict(RESNET, type='mmdet.ResNet')  # MMSegmentation has one of its own
    head = model.panoptic_head
    head.update(in_channels=WIDTHS, num_queries=QUERIES, num_things_classes=CLASSES,
                num_stuff_classes=0)
    head.loss_cls.class_weight = [1.0] * CLASSES + [0.1]
    if arch == 'mask2former':
        head.pixel_decoder.encoder.num_layers = 2
    elif encoder:
        head.pixel_decoder.encoder.num_layers = 1
    else:
        head.pixel_decoder = dict(type='PixelDecoder')
    head.transformer_decoder.num_layers = 4 if arch == 'mask2former' else 2
    name = 'decode_head' if library == 'mmseg' else 'panoptic_head'
    built = dict(mmdet=mmdet, mmseg=mmseg)[library].registry.MODELS
    with DefaultScope.overwrite_default_scope('mmdet'):
        backbone = mmdet.registry.MODELS.build(RESNET)
        if library == 'mmseg':
            model.type = 'EncoderDecoder'
            model[name] = model.pop('panoptic_head')
            head = model[name]
            head.update(num_classes=CLASSES, type=f'mmseg.{head.type}')
            head.pop('num_things_classes')
            head.pop('num_stuff_classes')
            head.pixel_decoder.type = f'mmdet.{head.pixel_decoder.type}'
        plain = cfg.to_dict()
        text = f'model = {plain["model"]!r}\ntest_dataloader = {plain["test_dataloader"]!r}'
        whole = nn.ModuleDict({'backbone': backbone, name: built.build(head)})

    def logits(images: Tensor) -> tuple[Tensor, Tensor]:
        size = tuple(images.shape[-2:])
        samples = [DetDataSample(metainfo=dict(batch_input_shape=size, img_shape=size))
                   for _ in images]
        classes, masks = whole[name](whole['backbone'](images), samples)
        return classes[-1], masks[-1]
    return Peer(randomise(whole), logits, text)
