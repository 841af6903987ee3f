"""Names of the published SeMask-FPN checkpoints (a fork of MMSegmentation 0.11)."""

from __future__ import annotations

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

SEMASK_FPN = NameMap(
    name='semask-fpn',
    signature=('decode_head.scale_heads.{d}.{j}.conv.weight',),
    rules=(*SEMASK_SWIN, *SCALES,
           Rule('decode_head.conv_seg.' + AFFINE, 'head.classifier.{p}')),
    supply=(norm_counters, window_indices),
)
