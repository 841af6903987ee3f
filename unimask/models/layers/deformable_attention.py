"""Multi-scale deformable attention as a layer (Deformable DETR, section 4.1).

Shapes: B batch, S tokens of all levels, E width, H heads, L levels, P points.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.layers.blocks import xavier_matrices_
from unimask.models.layers.linear import FeedForward, Linear
from unimask.ops import deformable_self_attention
from unimask.ops.recompute import recomputed

Sizes = tuple[tuple[int, int], ...]


class DeformableAttention(nn.Module):
    """Every token looks at a few points of every level.

    Args:
        width: E.
        num_heads: H.
        num_levels: L.
        num_points: P.

    Raises:
        UserError: If the heads do not divide the width.
    """

    def __init__(self, *, width: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        if width % num_heads:
            raise UserError(f'num_heads={num_heads} does not divide the width {width}.')
        self.shape = (num_heads, num_levels, num_points)
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = Linear(width, samples * 2)
        self.attention_weights = Linear(width, samples)
        self.value_proj = Linear(width, width)
        self.output_proj = Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Points start on a star: one direction a head, farther with the point's index."""
        heads, levels, points = self.shape
        angle = torch.arange(heads) * (2 * math.pi / heads)
        direction = torch.stack([angle.cos(), angle.sin()], -1)
        direction = direction / direction.abs().max(-1, keepdim=True).values
        reach = torch.arange(1, points + 1)
        star = direction[:, None, None] * reach[:, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(star.expand(-1, levels, -1, -1).flatten())
        for layer in (self.attention_weights, self.sampling_offsets):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, position: Tensor, sizes: Sizes) -> Tensor:
        """Equation 3.

        Args:
            x: (B, S, E) tokens, which are the values.
            position: Broadcastable to ``x``; the queries are ``x + position``.
            sizes: (height, width) of each level; areas sum to S.

        Returns:
            (B, S, E).
        """
        heads, levels, points = self.shape
        values = self.value_proj(x).unflatten(2, (heads, -1))
        query = x + position
        with recomputed(query, lambda: x + position):
            offsets = self.sampling_offsets(query).unflatten(2, (heads, levels, points, 2))
            logits = self.attention_weights(query).unflatten(2, (heads, levels, points))
        mixed = deformable_self_attention(values, sizes, offsets, logits)
        return self.output_proj(mixed)


class DeformableEncoderLayer(nn.Module):
    """Deformable self-attention and feed-forward, post-norm."""

    def __init__(self, *, width: int, num_heads: int, num_levels: int, num_points: int,
                 ffn_channels: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(
            width=width, num_heads=num_heads, num_levels=num_levels, num_points=num_points)
        self.norm1 = nn.LayerNorm(width)
        self.ffn = FeedForward(width, ffn_channels, dropout=dropout)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        xavier_matrices_(self.ffn)

    def forward(self, x: Tensor, position: Tensor, sizes: Sizes) -> Tensor:
        """x (B, S, E), position broadcastable to it; the position is not part of the value."""
        attended = x + self.dropout(self.self_attn(x, position, sizes))
        x = self.norm1(attended)
        with recomputed(x, lambda: self.norm1(attended)):
            change = self.ffn(x)
        return self.norm2(x + self.dropout(change))
