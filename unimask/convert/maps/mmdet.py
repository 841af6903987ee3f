"""Names of Mask2Former and MaskFormer in MMDetection and MMSegmentation.

MMSegmentation's heads are MMDetection's under another name of the head.
"""

from __future__ import annotations

from dataclasses import replace

from unimask.convert.maps.common import (
    PILOT,
    norm_counters,
    window_indices,
    without_position,
)
from unimask.convert.maps.detectron2 import AFFINE, MASKED, attention
from unimask.convert.rules import Ignore, NameMap, Rule

__all__ = ['MMDET', 'MMSEG']


def pixel_decoder(pixel: str) -> tuple[Rule, ...]:
    """Rules for the pixel decoders, which have names of their own in both models."""
    layer = pixel + 'encoder.layers.{l}.'
    return (
        # Mask2Former. MMDetection counts the levels from coarse to fine, as unimask does.
        Rule(pixel + 'input_convs.{l}.conv.' + AFFINE, 'neck.input_proj.{l}.0.{p}'),
        Rule(pixel + 'input_convs.{l}.gn.' + AFFINE, 'neck.input_proj.{l}.1.{p}'),
        Rule(pixel + 'level_encoding.weight', 'neck.level_embed'),
        Rule(layer + 'self_attn.'
             '{m:sampling_offsets|attention_weights|value_proj|output_proj}.' + AFFINE,
             'neck.encoder.{l}.self_attn.{m}.{p}'),
        # MaskFormer. The coarsest map has a convolution of its own, here the last of them.
        Rule(pixel + 'encoder_in_proj.' + AFFINE, 'neck.input_proj.{p}'),
        *attention(layer + 'self_attn.attn', 'neck.encoder.{l}.self_attn'),
        Rule(pixel + 'encoder_out_proj.{q:conv|gn}.' + AFFINE, 'neck.output_convs.3.{q}.{p}',
             needs_target='neck.input_proj.weight'),
        Rule(pixel + 'last_feat_conv.{q:conv|gn}.' + AFFINE, 'neck.output_convs.3.{q}.{p}'),
        # Both.
        Rule(layer + 'ffn.layers.0.0.' + AFFINE, 'neck.encoder.{l}.ffn.linear1.{p}'),
        Rule(layer + 'ffn.layers.1.' + AFFINE, 'neck.encoder.{l}.ffn.linear2.{p}'),
        Rule(layer + 'norms.{n:0|1}.' + AFFINE, 'neck.encoder.{l}.norm{n+1}.{p}'),
        Rule(pixel + '{m:lateral|output}_convs.{i}.{q:conv|gn}.' + AFFINE,
             'neck.{m}_convs.{i}.{q}.{p}'),
        Rule(pixel + 'mask_feature.' + AFFINE, 'neck.mask_features.{p}'),
    )


def transformer_decoder(head: str) -> tuple[Rule, ...]:
    """Rules for the head itself; the norms of a layer are counted in the order of their use."""
    layer, level = head + 'transformer_decoder.layers.{l}.', head + 'level_embed.weight'
    norms = dict(cross=0, self=1), dict(self=0, cross=1)
    masked, plain = (tuple(
        Rule(f'{layer}norms.{place}.{AFFINE}', f'head.layers.{{l}}.{name}_norm.{{p}}')
        for name, place in order.items()) for order in norms)
    return (
        *attention(layer + 'cross_attn.attn', 'head.layers.{l}.cross_attn'),
        *attention(layer + 'self_attn.attn', 'head.layers.{l}.self_attn'),
        *(replace(rule, needs=level, needs_target=MASKED) for rule in masked),
        *plain,
        Rule(layer + 'norms.2.' + AFFINE, 'head.layers.{l}.ffn_norm.{p}'),
        Rule(layer + 'ffn.layers.0.0.' + AFFINE, 'head.layers.{l}.ffn.linear1.{p}'),
        Rule(layer + 'ffn.layers.1.' + AFFINE, 'head.layers.{l}.ffn.linear2.{p}'),
        Rule(head + 'transformer_decoder.post_norm.' + AFFINE, 'head.decoder_norm.{p}'),
        Rule(head + '{q:query_embed|query_feat|level_embed}.weight', 'head.{q}.weight'),
        Rule(head + 'decoder_input_projs.{l}.' + AFFINE, 'head.input_proj.{l}.{p}'),
        Rule(head + 'decoder_input_proj.' + AFFINE, 'head.input_proj.{p}'),
        Rule(head + 'cls_embed.' + AFFINE, 'head.class_embed.{p}'),
        # Linear layers 0, 2 and 4 of a sequence with activations between them.
        *(Rule(f'{head}mask_embed.{2 * index}.{AFFINE}',
               f'head.mask_embed.layers.{index}.{{p}}') for index in (0, 1, 2)),
    )


def name_map(name: str, head: str) -> NameMap:
    """Names of a library whose models keep pixel decoder and decoder below ``head``."""
    return NameMap(
        name=name,
        signature=(head + 'cls_embed.weight',),
        rules=(
            Rule('backbone.{p*}', 'backbone.{p}'),  # unimask uses their backbones
            *pixel_decoder(head + 'pixel_decoder.'),
            *transformer_decoder(head),
            Ignore('data_preprocessor.{p:mean|std}', 'normalisation follows from the config'),
        ),
        supply=(norm_counters, window_indices),
        drops=(PILOT,),
        refused=(('backbone.body.{n*}', 'a backbone of timm'),
                 ('backbone.{m:encoder|semantic_layers}.{n*}', 'the encoder of SeMask')),
        requires=('head.class_embed.weight',),
        completes=(without_position(of=head + 'query_feat.weight',
                                    to=head + 'query_embed.weight'),),
    )


MMDET = name_map('mmdet', 'panoptic_head.')
MMSEG = name_map('mmseg', 'decode_head.')
