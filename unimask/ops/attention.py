"""Attention over ``scaled_dot_product_attention``, with and without a scale.

Shapes: B batch, N heads, T queries, S keys, E width of a head. Without a scale: G groups that
attend among themselves, N queries, M keys, K width of queries and keys, C width of values.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unimask.ops.cpu.autocast import slow_in_training

__all__ = ['attention', 'unscaled_attention']

LIMIT = 2**24  # products of queries and keys that exist at a time: 64 MiB
_ALIGNED = 8  # widths that fused kernels take are multiples of this


def attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None = None, *,
              dropout: float = 0.0) -> Tensor:
    """``softmax(query key^T / sqrt(E)) value``, where visible.

    Trainings under autocast on the CPU compute it in float32: torch's gradient of it in bfloat16
    takes eight times as long (torch 2.12).

    Args:
        query: (B, N, T, E).
        key: (B, N, S, E).
        value: (B, N, S, E).
        visible: Bool, broadcast to (B, N, T, S); True where a query may look.
        dropout: Of the attention weights.

    Returns:
        (B, N, T, E).
    """
    if not slow_in_training(query):
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, dropout_p=dropout)
    with torch.autocast('cpu', enabled=False):
        parts = [each.float() for each in (query, key, value)]
        return F.scaled_dot_product_attention(*parts, attn_mask=visible, dropout_p=dropout)


def unscaled_attention(query: Tensor, key: Tensor, value: Tensor, *, limit: int = LIMIT) -> Tensor:
    """``softmax(query key^T) value``; half precision is computed in float32, autocast ignored.

    Where the products would be more than ``limit``, the queries go in chunks, each of which is
    computed again in the backward pass. The numbers are the same, a query needs no other.

    Args:
        query: (G, N, K).
        key: (G, M, K).
        value: (G, M, C).
        limit: Products of queries and keys that may exist at a time.

    Returns:
        (G, N, C) in the type of ``value``.
    """
    dtype = torch.promote_types(value.dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):
        parts = [each.to(dtype) for each in (query, key, value)]
        rows = max(1, limit // (key.shape[0] * key.shape[1]))
        return _in_chunks(*parts, rows=rows).to(value.dtype)


def _in_chunks(query: Tensor, key: Tensor, value: Tensor, *, rows: int) -> Tensor:
    if query.shape[1] <= rows:
        return _attend(query, key, value)
    return torch.cat([
        checkpoint(_attend, part, key, value, use_reentrant=False, preserve_rng_state=False)
        for part in query.split(rows, dim=1)], dim=1)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """One head; zeros that align the width for CUDA's fused kernels change no product."""
    missing = -query.shape[-1] % _ALIGNED if query.is_cuda else 0
    query, key = (F.pad(each, (0, missing)) if missing else each for each in (query, key))
    return F.scaled_dot_product_attention(
        query[:, None], key[:, None], value[:, None], scale=1.0)[:, 0]
