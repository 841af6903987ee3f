"""Layers that nobody swaps: plain modules without registry."""

from __future__ import annotations

from unimask.models.layers.attention import Attention
from unimask.models.layers.blocks import MLP, DecoderLayer, EncoderLayer, xavier_matrices_
from unimask.models.layers.convolution import (
    ConvNorm,
    caffe2_xavier_,
    conv_norm,
    projection,
    published_conv,
    top_down_step,
)
from unimask.models.layers.deformable_attention import DeformableAttention, DeformableEncoderLayer
from unimask.models.layers.feature_alignment import FeatureAlignment, FeatureSelection
from unimask.models.layers.group_norm import GroupNorm
from unimask.models.layers.linear import FeedForward, Linear
from unimask.models.layers.position import sine_position
from unimask.models.layers.queries import DecoderQueries
from unimask.models.layers.semantic import SemanticAttention, SemanticLayer

__all__ = [
    'MLP', 'Attention', 'ConvNorm', 'DecoderLayer', 'DecoderQueries', 'DeformableAttention',
    'DeformableEncoderLayer', 'EncoderLayer', 'FeatureAlignment', 'FeatureSelection', 'FeedForward',
    'GroupNorm', 'Linear', 'SemanticAttention', 'SemanticLayer', 'caffe2_xavier_', 'conv_norm',
    'projection', 'published_conv', 'sine_position', 'top_down_step', 'xavier_matrices_',
]
