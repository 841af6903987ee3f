"""Layers that nobody swaps: plain modules without registry."""
from __future__ import annotations

from unimask.models.layers.attention import Attention
from unimask.models.layers.blocks import (
    MLP,
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    conv_norm,
    xavier_matrices_,
)
from unimask.models.layers.deformable_attention import DeformableAttention, DeformableEncoderLayer
from unimask.models.layers.position import sine_position

__all__ = [
    'MLP', 'Attention', 'DecoderLayer', 'DeformableAttention', 'DeformableEncoderLayer',
    'EncoderLayer', 'FeedForward', 'conv_norm', 'sine_position', 'xavier_matrices_',
]
