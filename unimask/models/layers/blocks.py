"""Feed-forward parts and transformer layers, all post-norm.

Shapes: B batch, T queries, S keys, E width.
"""

from __future__ import annotations

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from unimask.models.layers.attention import Attention
from unimask.ops.cpu import linear as onednn


class MLP(nn.Module):
    """Linear layers with ReLU between them: (..., inputs) -> (..., outputs)."""

    def __init__(self, *, inputs: int, hidden: int, outputs: int, num_layers: int) -> None:
        super().__init__()
        widths = [inputs] + [hidden] * (num_layers - 1) + [outputs]
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in zip(widths, widths[1:], strict=False))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = linear_relu(layer, x)
        return self.layers[-1](x)


class FeedForward(nn.Module):
    """Two linear layers with ReLU and dropout: (..., E) -> (..., E)."""

    def __init__(self, width: int, hidden: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        if onednn.supports(x) and not (self.training and self.dropout.p):
            return onednn.feed_forward(x, self.linear1.weight, self.linear1.bias,
                                       self.linear2.weight, self.linear2.bias)
        return self.linear2(self.dropout(linear_relu(self.linear1, x)))


def linear_relu(layer: nn.Linear, x: Tensor) -> Tensor:
    """ReLU of a linear layer: (..., inputs) -> (..., outputs)."""
    # In place, and as a matrix: with more axes the layer returns a view, and autograd copies what
    # is changed through a view.
    return layer(x.flatten(0, -2)).relu_().unflatten(0, x.shape[:-1])


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

    def forward(self, query: Tensor, query_position: Tensor, *, key: Tensor, value: Tensor,
                visible: Tensor | None = None) -> Tensor:
        """One layer.

        Args:
            query: (B, T, E) content.
            query_position: Broadcastable to it, added where queries are compared.
            key: (B, S, E) memory with its position.
            value: (B, S, E) memory.
            visible: Bool (B, 1, T, S): where cross-attention may look; everywhere if None.

        Returns:
            (B, T, E).
        """
        if self.cross_first:
            query = self._cross(query, query_position, key, value, visible)
            query = self._self(query, query_position)
        else:
            query = self._self(query, query_position)
            query = self._cross(query, query_position, key, value, visible)
        return self.ffn_norm(query + self.dropout(self.ffn(query)))

    def _cross(self, query: Tensor, position: Tensor, key: Tensor, value: Tensor,
               visible: Tensor | None) -> Tensor:
        seen = self.cross_attn(query + position, key, value, visible)
        return self.cross_norm(query + self.dropout(seen))

    def _self(self, query: Tensor, position: Tensor) -> Tensor:
        place = query + position
        return self.self_norm(query + self.dropout(self.self_attn(place, place, query)))


def conv_norm(inputs: int, outputs: int, kernel: int, *, relu: bool) -> ConvModule:
    """Convolution without bias, GroupNorm(32), optionally ReLU; initialised as published."""
    module = ConvModule(
        inputs, outputs, kernel, padding=kernel // 2, bias=False,
        norm_cfg=dict(type='GN', num_groups=32), act_cfg=dict(type='ReLU') if relu else None)
    caffe2_xavier_(module.conv)
    return module


def caffe2_xavier_(conv: nn.Conv2d) -> None:
    """Kaiming uniform with a = 1 and zero bias (reference text, section 1.5)."""
    nn.init.kaiming_uniform_(conv.weight, a=1)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


@torch.no_grad()
def xavier_matrices_(module: nn.Module) -> None:
    """Xavier uniform for every parameter with more than one axis."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
