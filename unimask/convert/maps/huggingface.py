"""Names of Mask2Former in Hugging Face's ``transformers``, with a ResNet or Swin backbone.

Release 5 of ``transformers`` renames parts of Swin in memory but writes files under the older
names; both are known here.
"""

from __future__ import annotations

from unimask.convert.maps.common import merge, norm_counters, unfold_order, window_indices
from unimask.convert.maps.detectron2 import AFFINE, NORM, attention
from unimask.convert.rules import Ignore, NameMap, Rule

__all__ = ['HUGGINGFACE']

BACKBONE = 'model.pixel_level_module.encoder.'
PIXEL = 'model.pixel_level_module.decoder.'
TRANSFORMER = 'model.transformer_module.'


def merged(names: tuple[str, str, str], target: str) -> Rule:
    """Query, key and value projections (in this order) as one."""
    return Rule(tuple(f'{name}.{AFFINE}' for name in names), target, merge)


STAGE = BACKBONE + 'encoder.stages.{s}.layers.{b}.'
BLOCK = 'backbone.layer{s+1}.{b}.'
RESNET = (
    Rule(BACKBONE + 'embedder.embedder.convolution.weight', 'backbone.conv1.weight'),
    Rule(BACKBONE + 'embedder.embedder.normalization.' + NORM, 'backbone.bn1.{p}'),
    Rule(STAGE + 'layer.{c}.convolution.weight', BLOCK + 'conv{c+1}.weight'),
    Rule(STAGE + 'layer.{c}.normalization.' + NORM, BLOCK + 'bn{c+1}.{p}'),
    Rule(STAGE + 'shortcut.convolution.weight', BLOCK + 'downsample.0.weight'),
    Rule(STAGE + 'shortcut.normalization.' + NORM, BLOCK + 'downsample.1.{p}'),
)

SWIN_IN = BACKBONE + '[swin.]'
LAYER_IN = SWIN_IN + 'encoder.layers.{i}.'
BLOCK_IN, BLOCK_OUT = LAYER_IN + 'blocks.{j}.', 'backbone.stages.{i}.blocks.{j}.'
QKV = BLOCK_OUT + 'attn.w_msa.qkv.{p}'
SWIN = (
    Rule(SWIN_IN + 'embeddings.patch_embeddings.projection.' + AFFINE,
         'backbone.patch_embed.projection.{p}'),
    Rule(SWIN_IN + 'embeddings.norm.' + AFFINE, 'backbone.patch_embed.norm.{p}'),
    Rule(BLOCK_IN + 'layernorm_before.' + AFFINE, BLOCK_OUT + 'norm1.{p}'),
    Rule(BLOCK_IN + 'layernorm_after.' + AFFINE, BLOCK_OUT + 'norm2.{p}'),
    merged(tuple(BLOCK_IN + f'attention.self.{m}' for m in ('query', 'key', 'value')), QKV),
    merged(tuple(BLOCK_IN + f'attention.{m}_proj' for m in 'qkv'), QKV),
    Rule(BLOCK_IN + 'attention.{m:output.dense|o_proj}.' + AFFINE,
         BLOCK_OUT + 'attn.w_msa.proj.{p}'),
    Rule(BLOCK_IN + 'attention.{m:self|relative_position_bias}.relative_position_bias_table',
         BLOCK_OUT + 'attn.w_msa.relative_position_bias_table'),
    Rule(BLOCK_IN + '{m:intermediate.dense|mlp.fc1}.' + AFFINE, BLOCK_OUT + 'ffn.layers.0.0.{p}'),
    Rule(BLOCK_IN + '{m:output.dense|mlp.fc2}.' + AFFINE, BLOCK_OUT + 'ffn.layers.1.{p}'),
    Rule(LAYER_IN + 'downsample.reduction.weight',
         'backbone.stages.{i}.downsample.reduction.weight', unfold_order),
    Rule(LAYER_IN + 'downsample.norm.' + AFFINE, 'backbone.stages.{i}.downsample.norm.{p}',
         unfold_order),
    Rule(BACKBONE + 'hidden_states_norms.stage{i:[1-4]}.' + AFFINE, 'backbone.norm{i-1}.{p}'),
    Ignore(BLOCK_IN + 'attention.{m:self|relative_position_bias}.relative_position_index',
           'recomputed from the window size'),
    Ignore(SWIN_IN + 'layernorm.' + AFFINE, 'final norm of the classifier'),
)

ENCODER_LAYER = PIXEL + 'encoder.layers.{l}.'
PIXEL_DECODER = (
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
    Rule(PIXEL + 'mask_projection.' + AFFINE, 'neck.mask_features.{p}'),
)

DECODER_LAYER = TRANSFORMER + 'decoder.layers.{l}.'
TRANSFORMER_DECODER = (
    Rule(TRANSFORMER + 'queries_embedder.weight', 'head.query_embed.weight'),
    Rule(TRANSFORMER + 'queries_features.weight', 'head.query_feat.weight'),
    Rule(TRANSFORMER + 'level_embed.weight', 'head.level_embed.weight'),
    *attention(DECODER_LAYER + 'cross_attn', 'head.layers.{l}.cross_attn'),
    merged(tuple(DECODER_LAYER + f'self_attn.{m}_proj' for m in 'qkv'),
           'head.layers.{l}.self_attn.in_proj_{p}'),
    Rule(DECODER_LAYER + 'self_attn.out_proj.' + AFFINE, 'head.layers.{l}.self_attn.out_proj.{p}'),
    Rule(DECODER_LAYER + '{m:cross|self}_attn_layer_norm.' + AFFINE,
         'head.layers.{l}.{m}_norm.{p}'),
    Rule(DECODER_LAYER + 'final_layer_norm.' + AFFINE, 'head.layers.{l}.ffn_norm.{p}'),
    Rule(DECODER_LAYER + 'fc{n:1|2}.' + AFFINE, 'head.layers.{l}.ffn.linear{n}.{p}'),
    Rule(TRANSFORMER + 'decoder.layernorm.' + AFFINE, 'head.decoder_norm.{p}'),
    Rule(TRANSFORMER + 'decoder.mask_predictor.mask_embedder.{n}.0.' + AFFINE,
         'head.mask_embed.layers.{n}.{p}'),
    Rule('class_predictor.' + AFFINE, 'head.class_embed.{p}'),
)

HUGGINGFACE = NameMap(
    name='huggingface',
    signature=(PIXEL + 'mask_projection.weight',),
    rules=(
        *RESNET,
        *SWIN,
        *PIXEL_DECODER,
        *TRANSFORMER_DECODER,
        Ignore('criterion.empty_weight', 'class weights follow from the config'),
    ),
    supply=(norm_counters, window_indices),
)
