"""Tensor functions and supplies that several name maps share."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from unimask.convert.rules import ConversionError, Ignore

__all__ = ['COUNTERS', 'INDICES', 'PILOT', 'fold_order', 'merge', 'no_object_weights',
           'norm_counters', 'split', 'tied', 'twice', 'unfold_order', 'window_indices',
           'without_position']


def merge(*tensors: Tensor) -> Tensor:
    """Stack projections (query, key, value) along the output axis, in the order given."""
    return torch.cat(tensors)


def split(tensor: Tensor) -> tuple[Tensor, ...]:
    """Query, key and value projections from one: the inverse of :func:`merge` of three."""
    return tensor.chunk(3)


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


def twice(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`tied`."""
    return tensor, tensor


def unfold_order(tensor: Tensor) -> Tensor:
    """Reorder the last axis (4 C) of a Swin patch merging for an ``unfold`` implementation.

    The official code concatenates the pixels (0,0), (1,0), (0,1), (1,1) of a 2x2 block, written
    (row, column), each with its C channels. ``unfold`` gives for each channel the pixels in the
    order (0,0), (0,1), (1,0), (1,1).
    """
    pixels = tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return pixels.transpose(-1, -2).flatten(-2)


def fold_order(tensor: Tensor) -> tuple[Tensor]:
    """The inverse of :func:`unfold_order`."""
    pixels = tensor.unflatten(-1, (-1, 4)).transpose(-1, -2)
    return (pixels[..., [0, 2, 1, 3], :].flatten(-2),)


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


def without_position(*, of: str, to: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """What gives queries without a learned position, MP-Former's, one that changes nothing.

    Args:
        of: The peer's name of the queries.
        to: The peer's name of their positions.
    """
    def supply(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        return {to: torch.zeros_like(state_dict[of])} if of in state_dict else {}

    return supply


def no_object_weights(of: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """What adds ``criterion.empty_weight``: the published loss weights of classes and no object.

    Args:
        of: The peer's name of the bias of the class scores.
    """
    def supply(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        if of not in state_dict:
            return {}
        weights = torch.ones(len(state_dict[of]))
        weights[-1] = 0.1
        return {'criterion.empty_weight': weights}

    return supply


def _window_index(entries: int) -> Tensor:
    """Row of the table, (2w-1)^2 entries, for each pair of the w*w positions of a window."""
    window = (math.isqrt(entries) + 1) // 2
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
    y, x = y.flatten(), x.flatten()
    rows = y[:, None] - y[None] + window - 1
    columns = x[:, None] - x[None] + window - 1
    return rows * (2 * window - 1) + columns


def _never_counted(counter: Tensor) -> bool:
    """Whether a norm never saw a batch in training: one that is frozen."""
    return counter.is_meta or not counter.any()


# What unimask has and a peer may lack.
COUNTERS = Ignore('{n*}.num_batches_tracked', 'frozen norms do not count', when=_never_counted)
INDICES = Ignore('{n*}.relative_position_index', 'recomputed from the window size')
PILOT = Ignore('head.pilot.{n*}', 'used in training alone')
