"""Backbones of ``transformers``: from its config to unimask's, and back."""

from __future__ import annotations

from typing import Any

from torch import nn

from unimask.convert.huggingface.values import Values
from unimask.convert.rules import ConversionError
from unimask.models.backbones import TimmBackbone, TimmSwin
from unimask.models.backbones.info import stage_widths

__all__ = ['backbone_config', 'backbone_from']

STAGES = ('stage1', 'stage2', 'stage3', 'stage4')
DEPTHS = {((2, 2, 2, 2), 'basic'): 18, ((3, 4, 6, 3), 'basic'): 34,
          ((3, 4, 6, 3), 'bottleneck'): 50, ((3, 4, 23, 3), 'bottleneck'): 101,
          ((3, 8, 36, 3), 'bottleneck'): 152}
FROZEN = dict(norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True)


def backbone_from(model: Values) -> dict:
    """Config of the backbone.

    Args:
        model: The model's ``config.json``.

    Raises:
        ConversionError: unimask has no such backbone.
    """
    values = model.part('backbone_config')
    if not values.content and model.get('backbone', ''):
        return _timm_by_name(model)
    makers = {'resnet': _resnet, 'swin': _swin, 'maskformer-swin': _swin,
              'timm_backbone': _timm}
    kind = values.get('model_type', 'swin')
    if kind not in makers:
        raise ConversionError(f'{values.where}: model_type is {kind!r}; unimask reads '
                              f'{", ".join(makers)}.')
    values.demand('num_channels', 3)
    return makers[kind](values)


def _check_stages(values: Values) -> None:
    if values.get('model_type', '') != 'maskformer-swin':  # which returns all of them always
        stages = values.get('out_features', list(STAGES))
        if tuple(stages) != STAGES:
            raise ConversionError(f'{values.where}: out_features are {stages}; pixel decoders '
                                  f'need all of {list(STAGES)}.')


def _resnet(values: Values) -> dict:
    values.demand('hidden_act', 'relu')
    _check_stages(values)
    depths = tuple(values.get('depths', [3, 4, 6, 3]))
    widths = tuple(values.get('hidden_sizes', [256, 512, 1024, 2048]))
    layer, stem = values.get('layer_type', 'bottleneck'), values.get('embedding_size', 64)
    options = dict(
        FROZEN, stem_channels=stem,
        strides=(2 if values.get('downsample_in_first_stage', False) else 1, 2, 2, 2),
        style='caffe' if values.get('downsample_in_bottleneck', False) else 'pytorch')
    base = widths[0] // (4 if layer == 'bottleneck' else 1)
    if (depths, layer) in DEPTHS and widths == tuple(widths[0] * 2**i for i in range(4)):
        return dict(type='mmdet.ResNet', depth=DEPTHS[depths, layer], base_channels=base,
                    **options)
    return dict(type='StagedResNet', depths=depths, widths=widths,
                bottleneck=layer == 'bottleneck', **options)


def _swin(values: Values) -> dict:
    values.demand('hidden_act', 'gelu')
    values.demand('use_absolute_embeddings', False)
    values.demand('layer_norm_eps', 1e-5)
    _check_stages(values)
    patch, ratio = values.get('patch_size', 4), values.get('mlp_ratio', 4.0)
    values.demand('mlp_ratio', int(ratio))  # what mmdet's Swin can have
    return dict(
        type='mmdet.SwinTransformer', embed_dims=values.get('embed_dim', 96),
        depths=tuple(values.get('depths', [2, 2, 6, 2])),
        num_heads=tuple(values.get('num_heads', [3, 6, 12, 24])),
        window_size=values.get('window_size', 7), mlp_ratio=int(ratio),
        qkv_bias=values.get('qkv_bias', True), patch_size=patch, strides=(patch, 2, 2, 2),
        pretrain_img_size=values.get('image_size', 224),
        drop_path_rate=values.get('drop_path_rate', 0.1))


def _timm(values: Values) -> dict:
    values.demand('features_only', True)
    stride = values.get('output_stride', None)
    return dict(type='TimmBackbone', model_name=values.get('backbone', 'resnet50'),
                out_indices=_indices(values),
                norm_eval=values.get('freeze_batch_norm_2d', False),
                **({} if stride is None else dict(model_args=dict(output_stride=stride))))


def _indices(values: Values) -> tuple[int, ...]:
    indices = values.get('out_indices', [1, 2, 3, 4])
    return tuple([indices] if isinstance(indices, int) else indices)


def _timm_by_name(model: Values) -> dict:
    """How older releases named a backbone of timm: beside the model's own settings."""
    name = model.get('backbone', '')
    if not model.get('use_timm_backbone', False):
        raise ConversionError(f'{model.where}: backbone is {name!r}, a model of the hub whose '
                              'config is not in this file. Save the model with a current '
                              'release of transformers first.')
    return dict(type='TimmBackbone', model_name=name,
                out_indices=_indices(model.part('backbone_kwargs')))


def backbone_config(backbone: nn.Module) -> dict[str, Any]:
    """``backbone_config`` of a backbone of unimask's.

    Raises:
        ConversionError: ``transformers`` has no such backbone.
    """
    if isinstance(backbone, TimmBackbone):
        return _timm_config(backbone)
    if isinstance(backbone, TimmSwin):
        return _timm_swin_config(backbone)
    if _extends(backbone, 'SwinTransformer'):
        return _swin_config(backbone)
    if _extends(backbone, 'ResNet'):
        return _resnet_config(backbone)
    raise ConversionError('huggingface cannot express this model: it has nothing like the '
                          f'backbone {type(backbone).__name__}. It has ResNet, Swin and those '
                          'of timm.')


def _extends(backbone: nn.Module, name: str) -> bool:
    """Whether it is a class of this name of mmdet or mmseg; they need not be imported for that."""
    return any(kind.__name__ == name and kind.__module__.startswith(('mmdet.', 'mmseg.'))
               for kind in type(backbone).__mro__)


def _timm_config(backbone: TimmBackbone) -> dict[str, Any]:
    indices = backbone.body.feature_info.out_indices
    return dict(model_type='timm_backbone', backbone=backbone.model_name, features_only=True,
                use_pretrained_backbone=False, num_channels=3,
                out_indices=[int(indices[kept]) for kept in backbone.kept])


def _timm_swin_config(backbone: TimmSwin) -> dict[str, Any]:
    first = backbone.layers[0].blocks[0]
    return dict(
        model_type='swin', embed_dim=backbone.out_channels[0],
        depths=[len(layer.blocks) for layer in backbone.layers],
        num_heads=[layer.blocks[0].attn.num_heads for layer in backbone.layers],
        window_size=first.window_size[0], qkv_bias=first.attn.qkv.bias is not None,
        mlp_ratio=first.mlp_ratio, patch_size=backbone.strides[0], out_features=list(STAGES))


def _swin_config(backbone: nn.Module) -> dict[str, Any]:
    first = backbone.stages[0].blocks[0]
    attention, inner = first.attn.w_msa, first.ffn.layers[0][0]
    return dict(
        model_type='swin', embed_dim=backbone.num_features[0],
        depths=[len(stage.blocks) for stage in backbone.stages],
        num_heads=[stage.blocks[0].attn.w_msa.num_heads for stage in backbone.stages],
        window_size=attention.window_size[0], qkv_bias=attention.qkv.bias is not None,
        mlp_ratio=inner.out_features / inner.in_features,
        patch_size=backbone.patch_embed.projection.kernel_size[0], out_features=list(STAGES))


def _resnet_config(backbone: nn.Module) -> dict[str, Any]:
    odd = dict(deep_stem=backbone.deep_stem, avg_down=backbone.avg_down, dcn=backbone.dcn,
               plugins=backbone.plugins, dilations=set(backbone.dilations) != {1})
    found = [name for name, value in odd.items() if value]
    if found or tuple(backbone.strides[1:]) != (2, 2, 2) or len(backbone.out_indices) != 4:
        raise ConversionError('huggingface cannot express this model: its ResNet has nothing '
                              f'like {", ".join(found) or "these strides or out_indices"}.')
    bottleneck = backbone.block.expansion == 4
    return dict(
        model_type='resnet', embedding_size=backbone.stem_channels,
        hidden_sizes=stage_widths(backbone), depths=list(backbone.stage_blocks),
        layer_type='bottleneck' if bottleneck else 'basic', hidden_act='relu',
        downsample_in_first_stage=backbone.strides[0] == 2,
        downsample_in_bottleneck=bottleneck and backbone.style == 'caffe',
        out_features=list(STAGES))
