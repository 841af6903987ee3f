"""Transformer layers, all post-norm.

Shapes: B batch, T queries, S keys, E width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unimask.models.layers.attention import Attention
from unimask.models.layers.linear import FeedForward, Linear


class MLP(nn.Module):
    """Linear layers with ReLU between them: (..., inputs) -> (..., outputs)."""

    def __init__(self, *, inputs: int, hidden: int, outputs: int, num_layers: int) -> None:
        super().__init__()
        widths = [inputs] + [hidden] * (num_layers - 1) + [outputs]
        self.layers = nn.ModuleList(
            Linear(before, after) for before, after in zip(widths, widths[1:], strict=False))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each followed by residual sum and norm (DETR)."""

    def __init__(self, *, width: int, num_heads: int, ffn_channels: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(width, num_heads, dropout=dropout)
        self.norm1 = nn.LayerNorm(width)
        self.ffn = FeedForward(width, ffn_channels, dropout=dropout)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        xavier_matrices_(self)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """x (B, T, E), position broadcastable to it."""
        place = x + position
        x = self.norm1(x + self.dropout(self.self_attn(place, place, x)))
        return self.norm2(x + self.dropout(self.ffn(x)))


class DecoderLayer(nn.Module):
    """Cross-attention, self-attention and feed-forward of queries.

    Mask2Former (section 3.2.2) attends to the image first, DETR and MaskFormer to the other
    queries.

    Args:
        width: E.
        num_heads: Of both attentions.
        ffn_channels: Hidden width of the feed-forward part.
        dropout: Of attention weights, hidden units and residual branches.
        cross_first: Whether cross-attention precedes self-attention.
    """

    def __init__(self, *, width: int, num_heads: int, ffn_channels: int, dropout: float,
                 cross_first: bool) -> None:
        super().__init__()
        self.cross_first = cross_first
        self.cross_attn = Attention(width, num_heads, dropout=dropout)
        self.cross_norm = nn.LayerNorm(width)
        self.self_attn = Attention(width, num_heads, dropout=dropout)
        self.self_norm = nn.LayerNorm(width)
        self.ffn = FeedForward(width, ffn_channels, dropout=dropout)
        self.ffn_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        xavier_matrices_(self)

    def forward(self, query: Tensor, query_position: Tensor | None, *, key: Tensor, value: Tensor,
                visible: Tensor | None = None, among: Tensor | None = None) -> Tensor:
        """One layer.

        Args:
            query: (B, T, E) content.
            query_position: Broadcastable to it, added where queries are compared; None for none.
            key: (B, S, E) memory with its position.
            value: (B, S, E) memory.
            visible: Bool (B, 1, T, S): where cross-attention may look; everywhere if None.
            among: Bool (B, 1, T, T): which queries see which; all if None.

        Returns:
            (B, T, E).
        """
        if self.cross_first:
            query = self._cross(query, query_position, key, value, visible)
            query = self._self(query, query_position, among)
        else:
            query = self._self(query, query_position, among)
            query = self._cross(query, query_position, key, value, visible)
        return self.ffn_norm(query + self.dropout(self.ffn(query)))

    def _cross(self, query: Tensor, position: Tensor | None, key: Tensor, value: Tensor,
               visible: Tensor | None) -> Tensor:
        seen = self.cross_attn(_placed(query, position), key, value, visible)
        return self.cross_norm(query + self.dropout(seen))

    def _self(self, query: Tensor, position: Tensor | None, among: Tensor | None) -> Tensor:
        place = _placed(query, position)
        return self.self_norm(query + self.dropout(self.self_attn(place, place, query, among)))


def _placed(query: Tensor, position: Tensor | None) -> Tensor:
    return query if position is None else query + position


@torch.no_grad()
def xavier_matrices_(module: nn.Module) -> None:
    """Xavier uniform for every parameter with more than one axis."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
