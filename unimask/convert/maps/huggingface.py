"""Names of MaskFormer and Mask2Former in Hugging Face's ``transformers``.

Backbones are its ResNet, Swin and (by their own names) those of timm. Release 5 of
``transformers`` renames parts in memory but writes files under the older names; both are known
here, and files are written under the older ones.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from unimask.convert.maps.common import (
    INDICES,
    PILOT,
    fold_order,
    merge,
    no_object_weights,
    norm_counters,
    split,
    unfold_order,
    window_indices,
    without_position,
)
from unimask.convert.maps.detectron2 import AFFINE, MASKED, NORM, attention
from unimask.convert.rules import Ignore, NameMap, Rule, StateDict

__all__ = ['HUGGINGFACE']

ENCODER = 'model.pixel_level_module.encoder.'
PIXEL = 'model.pixel_level_module.decoder.'
TRANSFORMER = 'model.transformer_module.'


def merged(names: tuple[str, str, str], target: str) -> Rule:
    """Query, key and value projections (in this order) as one."""
    return Rule(tuple(f'{name}.{AFFINE}' for name in names), target, merge, split)


STAGE = ENCODER + 'encoder.stages.{s}.layers.{b}.'
BLOCK = 'backbone.layer{s+1}.{b}.'
RESNET = (
    Rule(ENCODER + 'embedder.embedder.convolution.weight', 'backbone.conv1.weight'),
    Rule(ENCODER + 'embedder.embedder.normalization.' + NORM, 'backbone.bn1.{p}'),
    Rule(STAGE + 'layer.{c}.convolution.weight', BLOCK + 'conv{c+1}.weight'),
    Rule(STAGE + 'layer.{c}.normalization.' + NORM, BLOCK + 'bn{c+1}.{p}'),
    Rule(STAGE + 'shortcut.convolution.weight', BLOCK + 'downsample.0.weight'),
    Rule(STAGE + 'shortcut.normalization.' + NORM, BLOCK + 'downsample.1.{p}'),
)


def swin_rules(swin: str) -> tuple[Rule | Ignore, ...]:
    """Rules for the Swin below ``swin``."""
    layer = swin + 'encoder.layers.{i}.'
    block, target = layer + 'blocks.{j}.', 'backbone.stages.{i}.blocks.{j}.'
    qkv = target + 'attn.w_msa.qkv.{p}'
    return (
        Rule(swin + 'embeddings.patch_embeddings.projection.' + AFFINE,
             'backbone.patch_embed.projection.{p}'),
        Rule(swin + 'embeddings.norm.' + AFFINE, 'backbone.patch_embed.norm.{p}'),
        Rule(block + 'layernorm_before.' + AFFINE, target + 'norm1.{p}'),
        Rule(block + 'layernorm_after.' + AFFINE, target + 'norm2.{p}'),
        merged(tuple(block + f'attention.self.{m}' for m in ('query', 'key', 'value')), qkv),
        merged(tuple(block + f'attention.{m}_proj' for m in 'qkv'), qkv),
        Rule(block + 'attention.{m:output.dense|o_proj}.' + AFFINE,
             target + 'attn.w_msa.proj.{p}'),
        Rule(block + 'attention.{m:self|relative_position_bias}.relative_position_bias_table',
             target + 'attn.w_msa.relative_position_bias_table'),
        Rule(block + '{m:intermediate.dense|mlp.fc1}.' + AFFINE, target + 'ffn.layers.0.0.{p}'),
        Rule(block + '{m:output.dense|mlp.fc2}.' + AFFINE, target + 'ffn.layers.1.{p}'),
        Rule(layer + 'downsample.reduction.weight',
             'backbone.stages.{i}.downsample.reduction.weight', unfold_order, fold_order),
        Rule(layer + 'downsample.norm.' + AFFINE, 'backbone.stages.{i}.downsample.norm.{p}',
             unfold_order, fold_order),
        Ignore(block + 'attention.{m:self|relative_position_bias}.relative_position_index',
               'recomputed from the window size'),
        Ignore(swin + 'layernorm.' + AFFINE, 'final norm of the classifier'),
    )


ENCODER_LAYER = PIXEL + 'encoder.layers.{l}.'
DECODER_LAYER = TRANSFORMER + 'decoder.layers.{l}.'
MASK2FORMER = tuple(replace(rule, needs_target=MASKED) if isinstance(rule, Rule) else rule
                    for rule in (
    *swin_rules(ENCODER + r'{w:|swin\.}'),
    Rule(ENCODER + 'hidden_states_norms.stage{i}.' + AFFINE, 'backbone.norm{i-1}.{p}'),
    Rule(PIXEL + 'input_projections.{l}.{m:0|1}.' + AFFINE, 'neck.input_proj.{l}.{m}.{p}'),
    Rule(PIXEL + 'level_embed', 'neck.level_embed'),
    Rule(ENCODER_LAYER + 'self_attn.'
         '{m:sampling_offsets|attention_weights|value_proj|output_proj}.' + AFFINE,
         'neck.encoder.{l}.self_attn.{m}.{p}'),
    Rule(ENCODER_LAYER + 'self_attn_layer_norm.' + AFFINE, 'neck.encoder.{l}.norm1.{p}'),
    Rule(ENCODER_LAYER + 'final_layer_norm.' + AFFINE, 'neck.encoder.{l}.norm2.{p}'),
    Rule(ENCODER_LAYER + 'fc{n:1|2}.' + AFFINE, 'neck.encoder.{l}.ffn.linear{n}.{p}'),
    Rule(PIXEL + 'adapter_{i}.0.weight', 'neck.lateral_convs.{i-1}.conv.weight'),
    Rule(PIXEL + 'adapter_{i}.1.' + AFFINE, 'neck.lateral_convs.{i-1}.gn.{p}'),
    Rule(PIXEL + 'layer_{i}.0.weight', 'neck.output_convs.{i-1}.conv.weight'),
    Rule(PIXEL + 'layer_{i}.1.' + AFFINE, 'neck.output_convs.{i-1}.gn.{p}'),
    Rule(TRANSFORMER + 'queries_features.weight', 'head.query_feat.weight'),
    Rule(TRANSFORMER + 'level_embed.weight', 'head.level_embed.weight'),
    Rule(TRANSFORMER + 'input_projections.{l}.' + AFFINE, 'head.input_proj.{l}.{p}'),
    *attention(DECODER_LAYER + 'cross_attn', 'head.layers.{l}.cross_attn'),
    Rule(DECODER_LAYER + 'cross_attn_layer_norm.' + AFFINE, 'head.layers.{l}.cross_norm.{p}'),
    Rule(TRANSFORMER + 'decoder.mask_predictor.mask_embedder.{n}.0.' + AFFINE,
         'head.mask_embed.layers.{n}.{p}'),
))

FPN = PIXEL + 'fpn.'
MASKFORMER = (
    *swin_rules(ENCODER + 'model.'),
    Rule(ENCODER + 'hidden_states_norms.{i}.' + AFFINE, 'backbone.norm{i}.{p}'),
    # Four maps, here counted from coarse to fine.
    Rule(FPN + 'stem.0.weight', 'neck.output_convs.3.conv.weight'),
    Rule(FPN + 'stem.1.' + AFFINE, 'neck.output_convs.3.gn.{p}'),
    *(Rule(f'{FPN}layers.{2 - level}.{block}.{place}.{AFFINE}',
           f'neck.{convs}_convs.{level}.{name}.{{p}}')
      for level in (0, 1, 2) for block, convs in (('proj', 'lateral'), ('block', 'output'))
      for place, name in ((0, 'conv'), (1, 'gn'))),
    merged(tuple(DECODER_LAYER + f'encoder_attn.{m}_proj' for m in 'qkv'),
           'head.layers.{l}.cross_attn.in_proj_{p}'),
    Rule(DECODER_LAYER + 'encoder_attn.{m:out_proj|o_proj}.' + AFFINE,
         'head.layers.{l}.cross_attn.out_proj.{p}'),
    Rule(DECODER_LAYER + 'encoder_attn_layer_norm.' + AFFINE, 'head.layers.{l}.cross_norm.{p}'),
    Rule(TRANSFORMER + 'input_projection.' + AFFINE, 'head.input_proj.{p}'),
    Rule('mask_embedder.{n}.0.' + AFFINE, 'head.mask_embed.layers.{n}.{p}'),
)

BOTH = (
    Rule(ENCODER + '_backbone.{p*}', 'backbone.body.{p}'),
    Rule(PIXEL + 'mask_projection.' + AFFINE, 'neck.mask_features.{p}'),
    Rule(TRANSFORMER + 'queries_embedder.weight', 'head.query_embed.weight'),
    merged(tuple(DECODER_LAYER + f'self_attn.{m}_proj' for m in 'qkv'),
           'head.layers.{l}.self_attn.in_proj_{p}'),
    Rule(DECODER_LAYER + 'self_attn.{m:out_proj|o_proj}.' + AFFINE,
         'head.layers.{l}.self_attn.out_proj.{p}'),
    Rule(DECODER_LAYER + 'self_attn_layer_norm.' + AFFINE, 'head.layers.{l}.self_norm.{p}'),
    Rule(DECODER_LAYER + 'final_layer_norm.' + AFFINE, 'head.layers.{l}.ffn_norm.{p}'),
    Rule(DECODER_LAYER + r'{m:|mlp\.}fc{n:1|2}.' + AFFINE, 'head.layers.{l}.ffn.linear{n}.{p}'),
    Rule(TRANSFORMER + 'decoder.layernorm.' + AFFINE, 'head.decoder_norm.{p}'),
    Rule('class_predictor.' + AFFINE, 'head.class_embed.{p}'),
    Ignore('criterion.empty_weight', 'class weights follow from the config'),
)


def swin_extras(state_dict: StateDict) -> StateDict:
    """What Swin has beside the weights: a final norm without use, and (release 4) index tables."""
    plain = ENCODER + 'embeddings.norm.weight' in state_dict
    last = ENCODER + f'hidden_states_norms.{"stage4" if plain else 3}.'
    if last + 'weight' not in state_dict:
        return {}
    norm = ENCODER + ('swin.' if plain else 'model.') + 'layernorm.'
    return window_indices(state_dict) | {
        norm + 'weight': torch.ones_like(state_dict[last + 'weight']),
        norm + 'bias': torch.zeros_like(state_dict[last + 'bias'])}


HUGGINGFACE = NameMap(
    name='huggingface',
    signature=(PIXEL + 'mask_projection.weight',),
    rules=(*RESNET, *MASK2FORMER, *MASKFORMER, *BOTH),
    supply=(norm_counters, window_indices),
    drops=(INDICES, PILOT),
    refused=(('backbone.{m:encoder|semantic_layers}.{n*}', 'the encoder of SeMask'),
             ('backbone.stem.{n*}', 'the deep stem of ResNet-101c')),
    completes=(swin_extras,
               no_object_weights('class_predictor.bias'),
               without_position(of=TRANSFORMER + 'queries_features.weight',
                                to=TRANSFORMER + 'queries_embedder.weight')),
    takes=('timm-resnet',),
)
