"""Names of the published SeMask-FPN checkpoints (a fork of MMSegmentation 0.11)."""

from __future__ import annotations

from torch import Tensor

from unimask.convert.maps.common import norm_counters, window_indices
from unimask.convert.maps.detectron2 import AFFINE, NORM, SEMASK_SWIN
from unimask.convert.rules import NameMap, Rule

__all__ = ['SEMASK_FPN']

# A scale is one sequence: convolution (with its norm), upsampling, convolution, ...
PLACES = {'0': 0, '2': 1, '4': 2}
SCALES = tuple(
    Rule(f'decode_head.scale_heads.{{d}}.{{j:{place}}}.{source}',
         f'neck.scales.{{d}}.{index}.{target}')
    for place, index in PLACES.items()
    for source, target in (('conv.weight', 'conv.weight'), ('bn.' + NORM, 'bn.{p}')))


def class_counts(state_dict: dict[str, Tensor]) -> str:
    """Remark on a file whose encoder scores other classes than its head.

    The published configs for COCO-Stuff make such models: 150 and 171 classes.
    """
    encoder = state_dict.get('backbone.semantic_layers.0.blocks.0.query.weight')
    head = state_dict.get('head.classifier.weight')
    if encoder is None or head is None or len(encoder) == len(head):
        return ''
    return (f'the semantic layers of the encoder score {len(encoder)} classes, the head '
            f'{len(head)}: testing needs --cfg-options model.backbone.num_classes={len(encoder)}; '
            'a training that starts from it (load_from) scores all classes, by layers that start '
            'fresh in this')


SEMASK_FPN = NameMap(
    name='semask-fpn',
    signature=('decode_head.scale_heads.{d}.{j}.conv.weight',),
    rules=(*SEMASK_SWIN, *SCALES,
           Rule('decode_head.conv_seg.' + AFFINE, 'head.classifier.{p}')),
    supply=(norm_counters, window_indices),
    remarks=(class_counts,),
)
