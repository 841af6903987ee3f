"""A config of unimask's from one of MMDetection's or MMSegmentation's, as checkpoints carry it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unimask.convert.rules import ConversionError

__all__ = ['config_from']

HEADS = {'Mask2Former': ('mmdet', 'panoptic_head'), 'MaskFormer': ('mmdet', 'panoptic_head'),
         'EncoderDecoder': ('mmseg', 'decode_head')}
FLAGS = {'semantic': ('semantic_on', False), 'instance': ('instance_on', False),
         'panoptic': ('panoptic_on', True)}


def config_from(config: Mapping[str, Any], metainfo: Mapping[str, Any] | None) -> dict[str, Any]:
    """Model and test pipeline.

    Args:
        config: Theirs, as plain values.
        metainfo: Of the data set that the checkpoint was trained on; None where it is not known.

    Raises:
        ConversionError: It is no MaskFormer or Mask2Former, or lacks a key.
    """
    try:
        return _config(config, metainfo or {})
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ConversionError(f'the config in it is not that of a MaskFormer or Mask2Former '
                              f'({type(error).__name__}: {error})') from error


def _config(config: Mapping[str, Any], metainfo: Mapping[str, Any]) -> dict[str, Any]:
    theirs = config['model']
    library, name = HEADS[_bare(theirs['type'])]
    head = theirs[name]
    model = dict(
        type='UniversalSegmentor', backbone=_backbone(theirs['backbone'], library),
        neck=_neck(head), head=_head(head), taxonomy=_classes(head, metainfo),
        data_preprocessor=_normalisation(theirs.get('data_preprocessor') or {}),
        test_cfg=dict(tasks=_tasks(theirs, library)))
    if model['head']['type'] == 'MaskFormerHead':
        model['post_processors'] = dict(panoptic=dict(inside_mask=False))
    return dict(model=model, test_dataloader=dict(dataset=dict(
        type='SemanticDataset', pipeline=_pipeline(config))))


def _bare(kind: str) -> str:
    return kind.rpartition('.')[2]


def _backbone(theirs: Mapping[str, Any], library: str) -> dict[str, Any]:
    kind = theirs['type']
    kept = {key: value for key, value in theirs.items() if key not in ('init_cfg', 'pretrained')}
    return kept | dict(type=kind if '.' in kind else f'{library}.{kind}')


def _neck(head: Mapping[str, Any]) -> dict[str, Any]:
    decoder = head['pixel_decoder']
    kind = _bare(decoder['type'])
    widths = dict(channels=head['feat_channels'], mask_channels=head['out_channels'])
    if kind == 'PixelDecoder':
        return dict(type='FPNPixelDecoder', **widths)
    layer = decoder['encoder']['layer_cfg']
    attention = layer['self_attn_cfg']
    inner = dict(widths, num_layers=decoder['encoder']['num_layers'],
                 num_heads=attention.get('num_heads', 8),
                 ffn_channels=layer['ffn_cfg'].get('feedforward_channels', 1024))
    if kind == 'TransformerEncoderPixelDecoder':
        return dict(inner, type=kind, dropout=_dropout(attention))
    if kind != 'MSDeformAttnPixelDecoder':
        raise KeyError(f'pixel_decoder.type {kind}')
    return dict(inner, type=kind, num_levels=decoder.get('num_outs', 3),
                num_points=attention.get('num_points', 4))


def _head(head: Mapping[str, Any]) -> dict[str, Any]:
    layer = head['transformer_decoder']['layer_cfg']
    attention = layer['self_attn_cfg']
    return dict(
        type=_bare(head['type']), num_queries=head.get('num_queries', 100),
        num_layers=head['transformer_decoder']['num_layers'],
        channels=attention.get('embed_dims', 256), num_heads=attention.get('num_heads', 8),
        ffn_channels=layer['ffn_cfg'].get('feedforward_channels', 1024),
        dropout=_dropout(attention))


def _dropout(attention: Mapping[str, Any]) -> float:
    return attention.get('dropout', attention.get('attn_drop', 0.0))


def _classes(head: Mapping[str, Any], metainfo: Mapping[str, Any]) -> dict[str, Any]:
    """Names, and which are things: with MMDetection the first ones."""
    things = head.get('num_things_classes')
    count = head['num_classes'] if things is None else things + head.get('num_stuff_classes', 0)
    names = tuple(metainfo.get('classes') or (f'class {label}' for label in range(count)))
    known = dict(classes=names)
    if things is not None:
        known['thing_classes'] = names[:things]
    if metainfo.get('palette'):
        known['palette'] = metainfo['palette']
    return known


def _normalisation(theirs: Mapping[str, Any]) -> dict[str, Any]:
    divisor = theirs.get('pad_size_divisor') or (theirs.get('test_cfg') or {}).get('size_divisor')
    return dict(type='ImagePreprocessor', mean=theirs.get('mean'), std=theirs.get('std'),
                bgr_to_rgb=theirs.get('bgr_to_rgb', False), pad_size_divisor=divisor or 1)


def _tasks(theirs: Mapping[str, Any], library: str) -> tuple[str, ...]:
    if library == 'mmseg':
        return ('semantic',)
    flags = theirs.get('test_cfg') or {}
    return tuple(task for task, (flag, default) in FLAGS.items() if flags.get(flag, default))


def _pipeline(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Resizing: keeping the ratio within (long, short), or to one size."""
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    steps = dataset.get('pipeline') or ()
    resize = [_resize(step['scale'], keep_ratio=step.get('keep_ratio', False)) for step in steps
              if _bare(step.get('type', '')) == 'Resize' and step.get('scale')]
    return [dict(type='LoadImage'), *resize, dict(type='PackSegInputs')]


def _resize(scale: Sequence[int], *, keep_ratio: bool) -> dict[str, Any]:
    if keep_ratio:
        return dict(type='ResizeShortestEdge', short_edge=min(scale), max_long=max(scale))
    return dict(type='Resize', scale=tuple(scale))
