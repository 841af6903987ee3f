"""Multi-head attention over ``scaled_dot_product_attention``.

Shapes: B batch, T queries, S keys, E width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.layers.linear import Linear, linear
from unimask.ops.attention import attention


class Attention(nn.Module):
    """Multi-head attention with the parameters of ``nn.MultiheadAttention``.

    Unlike that, it takes a mask that is broadcast over the heads, which is not repeated for each.

    Args:
        width: E.
        num_heads: Must divide ``width``.
        dropout: Of the attention weights.

    Raises:
        UserError: If the heads do not divide the width.
    """

    def __init__(self, width: int, num_heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if width % num_heads:
            raise UserError(f'num_heads={num_heads} does not divide the width {width}.')
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor,
                visible: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            query: (B, T, E).
            key: (B, S, E).
            value: (B, S, E).
            visible: Bool, broadcast to (B, heads, T, S); True where a query may look.

        Returns:
            (B, T, E).
        """
        inputs = (query, key, value)
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        heads = [self._split(linear(x, w, b))
                 for x, w, b in zip(inputs, weights, biases, strict=True)]
        mixed = attention(*heads, visible, dropout=self.dropout if self.training else 0.0)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, E) -> (B, heads, T, E / heads)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
