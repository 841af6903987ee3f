"""Mask2Former of MMDetection and of Hugging Face, converted, computes what they compute."""

from collections.abc import Callable

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from unimask.convert import ConversionError, convert, detect_source
from unimask.convert.maps.huggingface import HUGGINGFACE
from unimask.registry import MODELS

SIZE = (64, 96)
QUERIES = 12
CLASSES = 7
ENCODER_LAYERS = 2
DECODER_LAYERS = 3
RESNET = dict(depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=-1,
              norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, style='pytorch')
SWIN = dict(embed_dims=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=7)


def our_model(backbone: dict) -> nn.Module:
    """A small Mask2Former here."""
    names = tuple(f'class {index}' for index in range(CLASSES))
    return MODELS.build(dict(
        type='UniversalSegmentor', backbone=backbone,
        neck=dict(type='MSDeformAttnPixelDecoder', num_layers=ENCODER_LAYERS),
        head=dict(type='Mask2FormerHead', num_queries=QUERIES, num_layers=DECODER_LAYERS),
        taxonomy=dict(classes=names))).eval()


def disturb(model: nn.Module) -> nn.Module:
    """Give every weight a value that matters: fresh models have zeros and ones."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                noise = torch.rand(value.shape, generator=rng) * 0.2
                value.add_(noise if name.endswith('running_var') else noise - 0.1)
    return model.eval()


def mmdet_model() -> nn.Module:
    """A small Mask2Former of MMDetection."""
    import mmdet.models
    from mmdet.registry import MODELS as THEIRS

    path = f'{mmdet.__path__[0]}/.mim/configs/mask2former/'
    model = Config.fromfile(path + 'mask2former_r50_8xb2-lsj-50e_coco-panoptic.py').model
    model.backbone.init_cfg = None
    head = model.panoptic_head
    head.update(num_queries=QUERIES, num_things_classes=CLASSES, num_stuff_classes=0)
    head.loss_cls.class_weight = [1.0] * CLASSES + [0.1]
    head.pixel_decoder.encoder.num_layers = ENCODER_LAYERS
    head.transformer_decoder.num_layers = DECODER_LAYERS
    model.panoptic_fusion_head.update(num_things_classes=CLASSES, num_stuff_classes=0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        return disturb(THEIRS.build(model))


def huggingface_model(backbone: str) -> nn.Module:
    """A small Mask2Former of Hugging Face with a ResNet or Swin backbone."""
    transformers = pytest.importorskip('transformers')
    stages = ['stage1', 'stage2', 'stage3', 'stage4']
    if backbone == 'resnet':
        config = transformers.ResNetConfig(out_features=stages)
    else:
        config = transformers.SwinConfig(
            embed_dim=SWIN['embed_dims'], depths=SWIN['depths'], num_heads=SWIN['num_heads'],
            window_size=SWIN['window_size'], out_features=stages)
    return disturb(transformers.Mask2FormerForUniversalSegmentation(transformers.Mask2FormerConfig(
        backbone_config=config, num_labels=CLASSES, num_queries=QUERIES,
        encoder_layers=ENCODER_LAYERS, decoder_layers=DECODER_LAYERS + 1)))


def mmdet_logits(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Final class and mask logits."""
    classes, masks = model(images, None, mode='tensor')
    return classes[-1], masks[-1]


def huggingface_logits(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Final class and mask logits."""
    outputs = model(images)
    return outputs.class_queries_logits, outputs.masks_queries_logits


def check_same(peer: nn.Module, ours: nn.Module, source: str,
               logits: Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]) -> None:
    """Convert the peer's weights and compare what the models compute."""
    assert detect_source(peer.state_dict()) == source
    ours.load_state_dict(convert(peer.state_dict()).state_dict, strict=True)
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        prediction = ours(images, None, mode='tensor')
        classes, masks = logits(peer, images)
    assert masks.std() > 0.1 and classes.std() > 0.1
    for got, wanted in ((prediction.class_logits[-1], classes), (prediction.mask_logits(), masks)):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-3 * float(wanted.abs().max()))


def test_mmdet() -> None:
    check_same(mmdet_model(), our_model(dict(type='mmdet.ResNet', **RESNET)), 'mmdet',
               mmdet_logits)


def test_huggingface_resnet() -> None:
    check_same(huggingface_model('resnet'), our_model(dict(type='mmdet.ResNet', **RESNET)),
               'huggingface', huggingface_logits)


def test_huggingface_swin() -> None:
    ours = our_model(dict(type='mmdet.SwinTransformer', drop_path_rate=0.0, **SWIN))
    check_same(huggingface_model('swin'), ours, 'huggingface', huggingface_logits)


def test_huggingface_file_equals_memory(tmp_path) -> None:
    """The names in a saved file differ from those in memory but mean the same."""
    model = huggingface_model('swin')
    model.save_pretrained(tmp_path)
    from safetensors.torch import load_file

    saved = convert(load_file(tmp_path / 'model.safetensors'), 'huggingface')
    memory = convert(model.state_dict(), 'huggingface')
    assert saved.state_dict.keys() == memory.state_dict.keys()
    assert all(torch.equal(tensor, memory.state_dict[name])
               for name, tensor in saved.state_dict.items())
    assert all(saved.ignored.values())


def test_query_without_key_is_an_error() -> None:
    names = [f'model.transformer_module.decoder.layers.0.self_attn.{m}_proj.weight' for m in 'qk']
    with pytest.raises(ConversionError, match='v_proj'):
        convert({name: torch.zeros(4, 4) for name in names}, HUGGINGFACE.name)
