"""Tensor functions and supplies that several name maps share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unimask.convert.rules import ConversionError

__all__ = ['merge', 'norm_counters', 'tied', 'unfold_order', 'window_indices']


def merge(*tensors: Tensor) -> Tensor:
    """Stack projections (query, key, value) along the output axis, in the order given."""
    return torch.cat(tensors)


def tied(first: Tensor, second: Tensor) -> Tensor:
    """One tensor that the source holds twice.

    Raises:
        ConversionError: If the two differ.
    """
    if not first.is_meta and not torch.equal(first, second):
        raise ConversionError(
            'a norm of the feature alignment (align_i.offset.norm) is not that of the layer which '
            'follows (layer_i.norm): the published models share it, so this file is damaged or '
            'belongs to another model')
    return first


def unfold_order(tensor: Tensor) -> Tensor:
    """Reorder the last axis (4 C) of a Swin patch merging for an ``unfold`` implementation.

    The official code concatenates the pixels (0,0), (1,0), (0,1), (1,1) of a 2x2 block, written
    (row, column), each with its C channels. ``unfold`` gives for each channel the pixels in the
    order (0,0), (0,1), (1,0), (1,1).
    """
    pixels = tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return pixels.transpose(-1, -2).flatten(-2)


def norm_counters(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """``num_batches_tracked`` of every batch norm; frozen batch norms are stored without it."""
    suffix = 'running_var'
    return {name.removesuffix(suffix) + 'num_batches_tracked': torch.zeros((), dtype=torch.long)
            for name in state_dict if name.endswith('.' + suffix)}


def window_indices(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """``relative_position_index`` of every Swin attention, from its bias table's size."""
    suffix = 'relative_position_bias_table'
    return {name.removesuffix(suffix) + 'relative_position_index': _window_index(table.shape[0])
            for name, table in state_dict.items() if name.endswith(suffix)}


def _window_index(entries: int) -> Tensor:
    """Row of the table, (2w-1)^2 entries, for each pair of the w*w positions of a window."""
    window = (math.isqrt(entries) + 1) // 2
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
    y, x = y.flatten(), x.flatten()
    rows = y[:, None] - y[None] + window - 1
    columns = x[:, None] - x[None] + window - 1
    return rows * (2 * window - 1) + columns
