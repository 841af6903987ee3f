"""Names of the published checkpoints of detectron2: MaskFormer to MP-Former, SeMask."""

from __future__ import annotations

from dataclasses import replace

from unimask.convert.maps.common import (
    COUNTERS,
    INDICES,
    fold_order,
    no_object_weights,
    norm_counters,
    tied,
    twice,
    unfold_order,
    window_indices,
)
from unimask.convert.rules import Ignore, NameMap, Rule

__all__ = ['DETECTRON2', 'DETECTRON2_RESNET', 'SEMASK_SWIN', 'SWIN_BLOCK', 'swin_rules']

NORM = '{p:weight|bias|running_mean|running_var|num_batches_tracked}'
AFFINE = '{p:weight|bias}'
PIXEL = 'sem_seg_head.[pixel_decoder.]'
PREDICTOR = 'sem_seg_head.predictor.'


def resnet_rules(prefix: str) -> tuple[Rule, ...]:
    """Rules from detectron2's ResNet, under a prefix, to that of MMDetection and MMSegmentation."""
    stem, block, deep = prefix + 'stem.', prefix + 'res{s}.{b}.', prefix + 'stem.conv3.weight'
    layer = 'backbone.layer{s-1}.{b}.'
    return (
        # The deep stem of DeepLab's ResNet is one sequence: conv, norm, relu, three times.
        Rule(stem + 'conv1.weight', 'backbone.stem.0.weight', needs=deep),
        Rule(stem + 'conv1.norm.' + NORM, 'backbone.stem.1.{p}', needs=deep),
        Rule(stem + 'conv2.weight', 'backbone.stem.3.weight'),
        Rule(stem + 'conv2.norm.' + NORM, 'backbone.stem.4.{p}'),
        Rule(stem + 'conv3.weight', 'backbone.stem.6.weight'),
        Rule(stem + 'conv3.norm.' + NORM, 'backbone.stem.7.{p}'),
        Rule(stem + 'conv1.weight', 'backbone.conv1.weight'),
        Rule(stem + 'conv1.norm.' + NORM, 'backbone.bn1.{p}'),
        Rule(block + 'conv{c}.weight', layer + 'conv{c}.weight'),
        Rule(block + 'conv{c}.norm.' + NORM, layer + 'bn{c}.{p}'),
        Rule(block + 'shortcut.weight', layer + 'downsample.0.weight'),
        Rule(block + 'shortcut.norm.' + NORM, layer + 'downsample.1.{p}'),
    )


SWIN_BLOCK = (
    ('norm{n:1|2}.' + AFFINE, 'norm{n}.{p}'),
    ('attn.qkv.' + AFFINE, 'attn.w_msa.qkv.{p}'),
    ('attn.proj.' + AFFINE, 'attn.w_msa.proj.{p}'),
    ('attn.relative_position_bias_table', 'attn.w_msa.relative_position_bias_table'),
    ('mlp.fc1.' + AFFINE, 'ffn.layers.0.0.{p}'),
    ('mlp.fc2.' + AFFINE, 'ffn.layers.1.{p}'),
)


def swin_rules(prefix: str, swin: str = 'backbone.', *, merged_stage: str = '{i}'
               ) -> tuple[Rule | Ignore, ...]:
    """Rules from the Swin authors' names, under a prefix, to ``mmdet.SwinTransformer``, ``swin``.

    ``merged_stage`` is the stage that patch merging ``i`` ends; with timm it begins one.
    """
    block, target = prefix + 'layers.{i}.blocks.{j}.', swin + 'stages.{i}.blocks.{j}.'
    merging = prefix + 'layers.{i}.downsample.'
    merged = f'{swin}stages.{merged_stage}.downsample.'
    return (
        Rule(prefix + 'patch_embed.proj.' + AFFINE, swin + 'patch_embed.projection.{p}'),
        Rule(prefix + 'patch_embed.norm.' + AFFINE, swin + 'patch_embed.norm.{p}'),
        *(Rule(block + source, target + name) for source, name in SWIN_BLOCK),
        Rule(merging + 'reduction.weight', merged + 'reduction.weight', unfold_order,
             fold_order),
        Rule(merging + 'norm.' + AFFINE, merged + 'norm.{p}', unfold_order, fold_order),
        Ignore(block + 'attn.relative_position_index', 'recomputed from the window size'),
    )


# SeMask's Swin: the encoder one level further down, the semantic layers beside it.
SEMANTIC = 'backbone.layers.{i}.semantic_layer.'
SEMANTIC_BLOCK = SEMANTIC + 'class_injection.{n}.'
SEMASK_SWIN = tuple(replace(rule, needs=SEMANTIC + '{p*}') for rule in (
    *swin_rules('backbone.', 'backbone.encoder.'),
    Rule('backbone.norm{i}.' + AFFINE, 'backbone.encoder.norm{i}.{p}'),
    Rule(SEMANTIC + 'norm1.' + AFFINE, 'backbone.semantic_layers.{i}.norm.{p}'),
    *(Rule(f'{SEMANTIC_BLOCK}{official}.{AFFINE}',
           f'backbone.semantic_layers.{{i}}.blocks.{{n}}.{name}.{{p}}')
      for official, name in (('mlp_cls_q', 'query'), ('mlp_cls_k', 'key'), ('mlp_v', 'value'),
                             ('mlp_res', 'output'))),
    Rule(SEMANTIC_BLOCK + 'gamma', 'backbone.semantic_layers.{i}.blocks.{n}.gamma'),
))


def attention(source: str, target: str) -> tuple[Rule, Rule]:
    """The four tensors of a torch multi-head attention."""
    return (Rule(source + '.in_proj_{p:weight|bias}', target + '.in_proj_{p}'),
            Rule(source + '.out_proj.' + AFFINE, target + '.out_proj.{p}'))


ENCODER_LAYER = PIXEL + 'transformer.encoder.layers.{l}.'
PIXEL_DECODER = (
    # Mask2Former: one projection per level, convolution (0) and group norm (1).
    Rule(PIXEL + 'input_proj.{l}.{m:0|1}.' + AFFINE, 'neck.input_proj.{l}.{m}.{p}'),
    Rule(PIXEL + 'transformer.level_embed', 'neck.level_embed'),
    Rule(ENCODER_LAYER + 'self_attn.'
         '{m:sampling_offsets|attention_weights|value_proj|output_proj}.' + AFFINE,
         'neck.encoder.{l}.self_attn.{m}.{p}'),
    # MaskFormer with a transformer encoder.
    Rule(PIXEL + 'input_proj.' + AFFINE, 'neck.input_proj.{p}'),
    *attention(ENCODER_LAYER + 'self_attn', 'neck.encoder.{l}.self_attn'),
    # Both.
    Rule(ENCODER_LAYER + 'linear{n:1|2}.' + AFFINE, 'neck.encoder.{l}.ffn.linear{n}.{p}'),
    Rule(ENCODER_LAYER + 'norm{n:1|2}.' + AFFINE, 'neck.encoder.{l}.norm{n}.{p}'),
    Rule(PIXEL + 'adapter_{i}.weight', 'neck.lateral_convs.{i-1}.conv.weight'),
    Rule(PIXEL + 'adapter_{i}.norm.' + AFFINE, 'neck.lateral_convs.{i-1}.gn.{p}'),
    Rule(PIXEL + 'layer_{i}.weight', 'neck.output_convs.{i-1}.conv.weight'),
    Rule(PIXEL + 'layer_{i}.norm.' + AFFINE, 'neck.output_convs.{i-1}.gn.{p}'),
    Rule(PIXEL + 'mask_features.' + AFFINE, 'neck.mask_features.{p}'),
)

ALIGN = PIXEL + 'align_{i}.'
FEATURE_ALIGNMENT = (  # FaPN and MSFaPN; the norm is shared with the convolution that follows
    Rule(ALIGN + 'offset.weight', 'neck.align.{i-1}.fusion.weight'),
    Rule(ALIGN + 'dcpack_L2.conv_offset_mask.' + AFFINE, 'neck.align.{i-1}.sampling.{p}'),
    Rule(ALIGN + 'dcpack_L2.' + AFFINE, 'neck.align.{i-1}.conv.{p}'),
    *(Rule((f'{PIXEL}layer_{i}.norm.{AFFINE}', f'{PIXEL}align_{i}.offset.norm.{AFFINE}'),
           f'neck.output_convs.{i - 1}.gn.{{p}}', tied, twice,
           needs_target=f'neck.align.{i - 1}.fusion.weight',
           needs=f'{PIXEL}align_{i}.offset.weight') for i in (1, 2, 3)),
)

CROSS = PREDICTOR + 'transformer_cross_attention_layers.{l}'
SELF = PREDICTOR + 'transformer_self_attention_layers.{l}'
FFN = PREDICTOR + 'transformer_ffn_layers.{l}'
MASKED = 'head.level_embed.weight'  # what MaskFormer has not
MASK2FORMER_HEAD = tuple(replace(rule, needs_target=MASKED) for rule in (
    *attention(CROSS + '.multihead_attn', 'head.layers.{l}.cross_attn'),
    Rule(CROSS + '.norm.' + AFFINE, 'head.layers.{l}.cross_norm.{p}'),
    *attention(SELF + '.self_attn', 'head.layers.{l}.self_attn'),
    Rule(SELF + '.norm.' + AFFINE, 'head.layers.{l}.self_norm.{p}'),
    Rule(FFN + '.linear{n:1|2}.' + AFFINE, 'head.layers.{l}.ffn.linear{n}.{p}'),
    Rule(FFN + '.norm.' + AFFINE, 'head.layers.{l}.ffn_norm.{p}'),
    Rule(PREDICTOR + 'decoder_norm.' + AFFINE, 'head.decoder_norm.{p}'),
    Rule(PREDICTOR + 'query_feat.weight', 'head.query_feat.weight'),
    Rule(PREDICTOR + 'static_query.weight', 'head.query_feat.weight'),  # its name before v2
    Rule(PREDICTOR + 'level_embed.weight', 'head.level_embed.weight'),
    Rule(PREDICTOR + 'input_proj.{l}.' + AFFINE, 'head.input_proj.{l}.{p}'),
    Rule(PREDICTOR + 'label_enc.weight', 'head.pilot.label_enc.weight'),  # MP-Former
))

DECODER_LAYER = PREDICTOR + 'transformer.decoder.layers.{l}.'
MASKFORMER_HEAD = (
    *attention(DECODER_LAYER + 'self_attn', 'head.layers.{l}.self_attn'),
    *attention(DECODER_LAYER + 'multihead_attn', 'head.layers.{l}.cross_attn'),
    Rule(DECODER_LAYER + 'norm1.' + AFFINE, 'head.layers.{l}.self_norm.{p}'),
    Rule(DECODER_LAYER + 'norm2.' + AFFINE, 'head.layers.{l}.cross_norm.{p}'),
    Rule(DECODER_LAYER + 'norm3.' + AFFINE, 'head.layers.{l}.ffn_norm.{p}'),
    Rule(DECODER_LAYER + 'linear{n:1|2}.' + AFFINE, 'head.layers.{l}.ffn.linear{n}.{p}'),
    Rule(PREDICTOR + 'transformer.decoder.norm.' + AFFINE, 'head.decoder_norm.{p}'),
    Rule(PREDICTOR + 'input_proj.' + AFFINE, 'head.input_proj.{p}'),
)

HEADS = (
    Rule(PREDICTOR + 'query_embed.weight', 'head.query_embed.weight'),
    Rule(PREDICTOR + AFFINE, 'head.classifier.{p}'),  # the per-pixel baseline
    Rule(PREDICTOR + 'class_embed.' + AFFINE, 'head.class_embed.{p}'),
    Rule(PREDICTOR + 'mask_embed.layers.{n}.' + AFFINE, 'head.mask_embed.layers.{n}.{p}'),
    Ignore('criterion.empty_weight', 'class weights follow from the config'),
    Ignore('[criterion.]pixel_{p:mean|std}', 'normalisation follows from the config'),
)

DETECTRON2 = NameMap(
    name='detectron2',
    signature=('sem_seg_head.{p*}',),
    rules=(*SEMASK_SWIN, *resnet_rules('backbone.'),
           Rule('backbone.norm{i}.' + AFFINE, 'backbone.norm{i}.{p}'), *swin_rules('backbone.'),
           *MASK2FORMER_HEAD, *MASKFORMER_HEAD, *HEADS, *FEATURE_ALIGNMENT, *PIXEL_DECODER),
    supply=(norm_counters, window_indices),
    drops=(COUNTERS, INDICES),
    refused=(('backbone.body.{n*}', 'a backbone of timm'),),
    completes=(window_indices, no_object_weights('sem_seg_head.predictor.class_embed.bias')),
)

# Its ImageNet weights: a backbone alone.
DETECTRON2_RESNET = NameMap(
    name='detectron2-resnet',
    signature=('res2.{b}.conv1.weight',),
    rules=(*resnet_rules(''),
           Ignore('{h:linear|fc|stem.fc}.{p:weight|bias}', 'classifier of the pre-training task')),
    supply=(norm_counters,),
)
