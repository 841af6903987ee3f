"""Names of MMDetection's Mask2Former (``mmdet.models.detectors.Mask2Former``)."""

from __future__ import annotations

from unimask.convert.maps.common import norm_counters, window_indices
from unimask.convert.maps.detectron2 import AFFINE, attention
from unimask.convert.rules import Ignore, NameMap, Rule

__all__ = ['MMDET']

HEAD = 'panoptic_head.'
PIXEL = HEAD + 'pixel_decoder.'
ENCODER_LAYER = PIXEL + 'encoder.layers.{l}.'
DECODER_LAYER = HEAD + 'transformer_decoder.layers.{l}.'

PIXEL_DECODER = (
    # MMDetection counts the levels from coarse to fine, as unimask does.
    Rule(PIXEL + 'input_convs.{l}.conv.' + AFFINE, 'neck.input_proj.{l}.0.{p}'),
    Rule(PIXEL + 'input_convs.{l}.gn.' + AFFINE, 'neck.input_proj.{l}.1.{p}'),
    Rule(PIXEL + 'level_encoding.weight', 'neck.level_embed'),
    Rule(ENCODER_LAYER + 'self_attn.'
         '{m:sampling_offsets|attention_weights|value_proj|output_proj}.' + AFFINE,
         'neck.encoder.{l}.self_attn.{m}.{p}'),
    Rule(ENCODER_LAYER + 'ffn.layers.0.0.' + AFFINE, 'neck.encoder.{l}.ffn.linear1.{p}'),
    Rule(ENCODER_LAYER + 'ffn.layers.1.' + AFFINE, 'neck.encoder.{l}.ffn.linear2.{p}'),
    Rule(ENCODER_LAYER + 'norms.{n:0|1}.' + AFFINE, 'neck.encoder.{l}.norm{n+1}.{p}'),
    Rule(PIXEL + '{m:lateral|output}_convs.{i}.{q:conv|gn}.' + AFFINE,
         'neck.{m}_convs.{i}.{q}.{p}'),
    Rule(PIXEL + 'mask_feature.' + AFFINE, 'neck.mask_features.{p}'),
)

TRANSFORMER_DECODER = (
    *attention(DECODER_LAYER + 'cross_attn.attn', 'head.layers.{l}.cross_attn'),
    *attention(DECODER_LAYER + 'self_attn.attn', 'head.layers.{l}.self_attn'),
    Rule(DECODER_LAYER + 'norms.0.' + AFFINE, 'head.layers.{l}.cross_norm.{p}'),
    Rule(DECODER_LAYER + 'norms.1.' + AFFINE, 'head.layers.{l}.self_norm.{p}'),
    Rule(DECODER_LAYER + 'norms.2.' + AFFINE, 'head.layers.{l}.ffn_norm.{p}'),
    Rule(DECODER_LAYER + 'ffn.layers.0.0.' + AFFINE, 'head.layers.{l}.ffn.linear1.{p}'),
    Rule(DECODER_LAYER + 'ffn.layers.1.' + AFFINE, 'head.layers.{l}.ffn.linear2.{p}'),
    Rule(HEAD + 'transformer_decoder.post_norm.' + AFFINE, 'head.decoder_norm.{p}'),
    Rule(HEAD + '{q:query_embed|query_feat|level_embed}.weight', 'head.{q}.weight'),
    Rule(HEAD + 'cls_embed.' + AFFINE, 'head.class_embed.{p}'),
    # Linear layers 0, 2 and 4 of a sequence with activations between them.
    Rule(HEAD + 'mask_embed.0.' + AFFINE, 'head.mask_embed.layers.0.{p}'),
    Rule(HEAD + 'mask_embed.2.' + AFFINE, 'head.mask_embed.layers.1.{p}'),
    Rule(HEAD + 'mask_embed.4.' + AFFINE, 'head.mask_embed.layers.2.{p}'),
)

MMDET = NameMap(
    name='mmdet',
    signature=('panoptic_head.cls_embed.weight',),
    rules=(
        Rule('backbone.{p*}', 'backbone.{p}'),  # unimask uses MMDetection's backbones
        *PIXEL_DECODER,
        *TRANSFORMER_DECODER,
        Ignore('data_preprocessor.{p:mean|std}', 'normalisation follows from the config'),
    ),
    supply=(norm_counters, window_indices),
)
