"""Functions of tensors. torch, numpy and scipy only; no registry."""

from __future__ import annotations

from unimask.ops.assignment import assign
from unimask.ops.attention import unscaled_attention
from unimask.ops.deformable import deformable_attention, deformable_self_attention
from unimask.ops.deformable_conv import deformable_conv
from unimask.ops.points import (
    draw_uncertain,
    most_uncertain,
    sample_features,
    sample_labels,
    sample_maps,
    uniform_points,
)
from unimask.ops.resize import ResizePlan, interpolation_matrix, nearest

__all__ = [
    'ResizePlan', 'assign', 'deformable_attention', 'deformable_conv', 'deformable_self_attention',
    'draw_uncertain', 'interpolation_matrix', 'most_uncertain', 'nearest', 'sample_features',
    'sample_labels', 'sample_maps', 'uniform_points', 'unscaled_attention',
]
