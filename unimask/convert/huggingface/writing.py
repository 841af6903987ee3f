"""What a folder of ``transformers`` holds beside the weights: two JSON files, from a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from unimask.convert.huggingface.backbones import backbone_config
from unimask.convert.rules import ConversionError
from unimask.models.heads import Mask2FormerHead, MaskFormerHead
from unimask.models.necks import FPNPixelDecoder, MSDeformAttnPixelDecoder
from unimask.models.segmentors.universal import UniversalSegmentor
from unimask.structures import Taxonomy

__all__ = ['files_for']

LEVELS, POINTS = 3, 4  # what transformers has fixed
_PROCESSORS = {True: 'Mask2FormerImageProcessor', False: 'MaskFormerImageProcessor'}


def files_for(model: UniversalSegmentor, *, normalisation: Mapping[str, Any],
              pipeline: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """File name -> JSON text.

    Args:
        model: The model; only its structure counts, so it may be on the ``meta`` device.
        normalisation: Config of its ``data_preprocessor``.
        pipeline: Steps of the test pipeline, which say how pictures are resized.

    Raises:
        ConversionError: ``transformers`` cannot express it; says which component.
    """
    masked = isinstance(model.head, Mask2FormerHead)
    config = dict(
        _mask2former(model) if masked else _maskformer(model), **_labels(model.taxonomy),
        backbone_config=backbone_config(model.backbone), dtype='float32')
    return {'config.json': _text(config),
            'preprocessor_config.json': _text(dict(
                image_processor_type=_PROCESSORS[masked], num_labels=model.taxonomy.num_classes,
                resample=2, ignore_index=255, do_reduce_labels=False, **_size(pipeline),
                **_normalisation(normalisation)))}


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + '\n'


def _demand(part: nn.Module, name: str, fits: bool, has: str) -> None:
    if not fits:
        raise ConversionError(f'huggingface cannot express this model: it has nothing like '
                              f'model.{name}, a {type(part).__name__}; {has}.')


def _mask2former(model: UniversalSegmentor) -> dict[str, Any]:
    neck, head = model.neck, model.head
    _demand(neck, 'neck', type(neck) is MSDeformAttnPixelDecoder,
            'its Mask2Former has the MSDeformAttnPixelDecoder')
    attention = neck.encoder[0].self_attn if neck.encoder else None
    _demand(neck, 'neck', attention is not None and neck.num_levels == LEVELS
            and attention.shape[2] == POINTS and len(neck.lateral_convs) == 1,
            f'its Mask2Former has four maps, {LEVELS} levels and {POINTS} points')
    heads = attention.shape[0]
    _demand(head, 'head', bool(head.layers) and head.layers[0].self_attn.num_heads == heads,
            f'its Mask2Former has as many attention heads as the pixel decoder, here {heads}')
    width = head.query_feat.embedding_dim
    return dict(
        model_type='mask2former', architectures=['Mask2FormerForUniversalSegmentation'],
        feature_size=neck.level_embed.shape[1], mask_feature_size=neck.mask_channels,
        hidden_dim=width, num_attention_heads=heads, num_queries=head.query_feat.num_embeddings,
        encoder_layers=len(neck.encoder), decoder_layers=len(head.layers) + 1,
        encoder_feedforward_dim=neck.encoder[0].ffn.linear1.out_features,
        dim_feedforward=head.layers[0].ffn.linear1.out_features,
        dropout=head.layers[0].dropout.p, activation_function='relu', pre_norm=False,
        enforce_input_projection=False, common_stride=4, feature_strides=[4, 8, 16, 32])


def _maskformer(model: UniversalSegmentor) -> dict[str, Any]:
    neck, head = model.neck, model.head
    _demand(head, 'head', isinstance(head, MaskFormerHead), 'it has MaskFormer and Mask2Former')
    _demand(neck, 'neck', type(neck) is FPNPixelDecoder and len(neck.lateral_convs) == 3,
            'its MaskFormer has the FPNPixelDecoder on four maps, without transformer encoder')
    _demand(head, 'head', bool(head.layers), 'its decoder has layers')
    layer, queries = head.layers[0], head.query_embed
    decoder = dict(
        model_type='detr', d_model=queries.embedding_dim, num_queries=queries.num_embeddings,
        decoder_layers=len(head.layers), decoder_ffn_dim=layer.ffn.linear1.out_features,
        decoder_attention_heads=layer.self_attn.num_heads,
        encoder_attention_heads=layer.self_attn.num_heads, dropout=layer.dropout.p,
        activation_function='relu')
    return dict(
        model_type='maskformer', architectures=['MaskFormerForInstanceSegmentation'],
        fpn_feature_size=neck.output_convs[-1].conv.out_channels,
        mask_feature_size=neck.mask_channels, decoder_config=decoder)


def _labels(taxonomy: Taxonomy) -> dict[str, Any]:
    """Names by label; ``thing_labels`` is unimask's own key, which transformers keeps."""
    names = dict(enumerate(taxonomy.classes))
    things = {} if all(taxonomy.things) else dict(thing_labels=list(taxonomy.thing_ids))
    return dict(id2label={str(label): name for label, name in names.items()},
                label2id={name: label for label, name in names.items()}, **things)


def _normalisation(given: Mapping[str, Any]) -> dict[str, Any]:
    if not given.get('bgr_to_rgb', False):
        raise ConversionError('huggingface gives its models RGB pictures, but this one takes BGR: '
                              'model.data_preprocessor.bgr_to_rgb is False.')
    size = dict(size_divisor=given.get('pad_size_divisor', 1))
    if given.get('mean') is None:
        return dict(size, do_rescale=False, do_normalize=False)
    mean, std = ([round(value / 255, 6) for value in given[name]] for name in ('mean', 'std'))
    return dict(size, do_rescale=True, rescale_factor=1 / 255, do_normalize=True,
                image_mean=mean, image_std=std)


def _size(pipeline: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    for step in pipeline:
        if step.get('type') == 'ResizeShortestEdge' and isinstance(step['short_edge'], int):
            short = step['short_edge']
            return dict(do_resize=True, size=dict(
                shortest_edge=short, longest_edge=step.get('max_long') or 4 * short))
        if step.get('type') in ('Resize', 'mmdet.Resize') and not step.get('keep_ratio', False):
            width, height = step['scale']
            return dict(do_resize=True, size=dict(height=height, width=width))
    return dict(do_resize=False)
