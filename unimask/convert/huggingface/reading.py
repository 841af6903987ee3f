"""A config of unimask's from ``config.json`` and ``preprocessor_config.json``.

Older releases of ``transformers`` wrote only what differs from the defaults, so these stand here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unimask.convert.huggingface.backbones import backbone_from
from unimask.convert.huggingface.values import Values
from unimask.convert.rules import ConversionError
from unimask.pipelines import testing
from unimask.registry import DATASETS

__all__ = ['config_from']

IMAGENET = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])


def config_from(config: Mapping[str, Any], preprocessor: Mapping[str, Any] | None = None) -> dict:
    """Model, classes and test pipeline of a folder of ``transformers``.

    Args:
        config: Content of ``config.json``.
        preprocessor: Content of ``preprocessor_config.json``; None for the usual values.

    Returns:
        Config with ``model`` and ``test_dataloader``.

    Raises:
        ConversionError: It is no MaskFormer or Mask2Former, or has a part that unimask lacks.
    """
    values = Values(config, 'config.json')
    makers = dict(mask2former=_mask2former, maskformer=_maskformer)
    kind = values.get('model_type', '')
    if kind not in makers:
        raise ConversionError(f'config.json: model_type is {kind!r}; unimask reads '
                              f'{" and ".join(makers)}.')
    prepared = Values(preprocessor or {}, 'preprocessor_config.json')
    model = dict(
        type='UniversalSegmentor', backbone=backbone_from(values), **makers[kind](values),
        taxonomy=_classes(values), data_preprocessor=_normalisation(prepared))
    return dict(model=model, test_dataloader=dict(dataset=dict(
        type='SemanticDataset', pipeline=_pipeline(prepared))))


def _mask2former(values: Values) -> dict:
    values.demand('pre_norm', False)
    values.demand('activation_function', 'relu')
    values.demand('common_stride', 4)
    heads, width = values.get('num_attention_heads', 8), values.get('hidden_dim', 256)
    dropout = values.get('dropout', 0.0)
    features = values.get('feature_size', 256)
    if values.get('enforce_input_projection', False) and features == width:
        values.demand('enforce_input_projection', False)
    return dict(
        neck=dict(
            type='MSDeformAttnPixelDecoder', channels=features,
            mask_channels=values.get('mask_feature_size', 256), num_heads=heads,
            num_layers=values.get('encoder_layers', 6), dropout=dropout,
            ffn_channels=values.get('encoder_feedforward_dim', 1024)),
        head=dict(
            type='Mask2FormerHead', channels=width, num_heads=heads, dropout=dropout,
            num_queries=values.get('num_queries', 100),
            num_layers=values.get('decoder_layers', 10) - 1,  # one prediction is made before them
            ffn_channels=values.get('dim_feedforward', 2048)))


def _maskformer(values: Values) -> dict:
    decoder = values.part('decoder_config')
    decoder.demand('model_type', 'detr')
    decoder.demand('activation_function', 'relu')
    return dict(
        neck=dict(
            type='FPNPixelDecoder', channels=values.get('fpn_feature_size', 256),
            mask_channels=values.get('mask_feature_size', 256)),
        head=dict(
            type='MaskFormerHead', channels=decoder.get('d_model', 256),
            num_queries=decoder.get('num_queries', 100),
            num_layers=decoder.get('decoder_layers', 6),
            num_heads=decoder.get('decoder_attention_heads', 8),
            ffn_channels=decoder.get('decoder_ffn_dim', 2048),
            dropout=decoder.get('dropout', 0.1)),
        post_processors=dict(panoptic=dict(inside_mask=False)))


def _classes(values: Values) -> dict:
    """Metainfo: names by label, and which are things where unimask or a data set knows."""
    names = values.get('id2label', None)
    count = values.get('num_labels', 2)
    labels = {int(label): str(name) for label, name in (names or {}).items()} or {
        label: f'LABEL_{label}' for label in range(count)}
    if sorted(labels) != list(range(len(labels))):
        raise ConversionError('config.json: id2label must name the labels 0, 1, 2, ... without a '
                              'gap.')
    classes = tuple(labels[label] for label in range(len(labels)))
    things = values.get('thing_labels', None)
    if things is not None:
        if not isinstance(things, list) or not set(things) <= labels.keys():
            raise ConversionError(f'config.json: thing_labels is {things!r}, not a list of labels '
                                  f'from 0 to {len(labels) - 1}.')
        return dict(classes=classes, thing_classes=tuple(labels[label] for label in things))
    return _known(classes) or dict(classes=classes)


def _known(classes: tuple[str, ...]) -> dict | None:
    """The metainfo of a registered data set with just these classes."""
    metainfos = (getattr(dataset, 'METAINFO', None) or {}
                 for dataset in DATASETS.module_dict.values())
    found = next((each for each in metainfos if 'thing_classes' in each
                  and tuple(each.get('classes') or ()) == classes), None)
    return found and {key: found[key] for key in ('classes', 'thing_classes', 'palette')
                      if key in found}


def _normalisation(values: Values) -> dict:
    scale = 1 / values.get('rescale_factor', 1 / 255) if values.get('do_rescale', True) else 1.0
    normalise = values.get('do_normalize', True)
    mean, std = (values.get(key, default) if normalise else [float(key == 'image_std')] * 3
                 for key, default in IMAGENET.items())
    divisor = values.get('size_divisor', values.get('size_divisibility', 32))
    return dict(
        type='ImagePreprocessor', bgr_to_rgb=True, pad_size_divisor=max(divisor, 1),
        mean=[round(each * scale, 3) for each in mean],
        std=[round(each * scale, 3) for each in std])


def _pipeline(values: Values) -> list[dict]:
    """Resizing; ``size`` was a number with ``max_size`` beside it once."""
    load, resize, pack = dict(type='LoadImage'), [], dict(type='PackSegInputs')
    size = values.get('size', dict(shortest_edge=800))
    if not values.get('do_resize', True):
        return [load, pack]
    if isinstance(size, Mapping) and 'height' in size:
        resize = [dict(type='Resize', scale=(size['width'], size['height']))]
        return [load, *resize, pack]
    short = size.get('shortest_edge', 800) if isinstance(size, Mapping) else size
    longest = size.get('longest_edge') if isinstance(size, Mapping) else None
    limit = longest or values.get('max_size', 1333)
    return [*testing(load, short_edge=short, max_long=limit)[:2], pack]
