"""Multi-scale deformable attention: one function over the kernels that exist.

Shapes: B batch, S values of all levels, H heads, D channels a head, T queries, L levels,
P points a level. Source: Deformable DETR, equation 3.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from unimask.ops.cpu import native

Size = tuple[int, int]


def deformable_attention(value: Tensor, sizes: Sequence[Size], locations: Tensor,
                         weights: Tensor) -> Tensor:
    """Weighted sum of bilinear samples, zeros outside.

    On the GPU it is mmcv's compiled kernel in float32 (its bfloat16 path falls back to a slow
    one), else ``grid_sample``. Both agree up to rounding.

    Args:
        value: (B, S, H, D), levels one behind the other.
        sizes: (height, width) of each level; their areas sum to S.
        locations: (B, T, H, L, P, 2), (x, y) in [0, 1] of the level.
        weights: (B, T, H, L, P).

    Returns:
        (B, T, H * D), float32.
    """
    value, locations, weights = value.float(), locations.float(), weights.float()
    if value.is_cuda and _mmcv_runs_on(value.device):
        return _cuda(value, sizes, locations, weights)
    return grid_sample_attention(value, sizes, locations, weights)


def deformable_self_attention(value: Tensor, sizes: Sequence[Size], offsets: Tensor,
                              logits: Tensor) -> Tensor:
    """:func:`deformable_attention` of the cells of all levels among themselves.

    Args:
        value: (B, S, H, D), levels one behind the other.
        sizes: (height, width) of each level; their areas sum to S.
        offsets: (B, S, H, L, P, 2) from the cell's centre, (x, y) in pixels of the level.
        logits: (B, S, H, L, P), before the softmax over the samples of a head.

    Returns:
        (B, S, H * D), float32.
    """
    value, offsets, logits = value.float(), offsets.float(), logits.float()
    reference, _ = _grid(tuple(sizes), value.device)
    if native.supports(value, offsets, logits):
        return native.ms_deform_self_attn(value, list(sizes), reference, offsets, logits)
    weights = logits.flatten(3).softmax(-1).view_as(logits)
    return deformable_attention(value, sizes, sampling_locations(offsets, sizes), weights)


def sampling_locations(offsets: Tensor, sizes: Sequence[Size]) -> Tensor:
    """Reference + offset / (W_l, H_l): offsets (B, S, H, L, P, 2) in pixels of the level."""
    reference, scale = _grid(tuple(sizes), offsets.device)
    return torch.addcmul(reference[:, None, None, None], offsets, scale[:, None])


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept must serve a later training too
def _grid(sizes: tuple[Size, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Cell centres (S, 2) of all levels and 1 / (width, height) (L, 2)."""
    centres = []
    for height, width in sizes:
        y = (torch.arange(height, device=device) + 0.5) / height
        x = (torch.arange(width, device=device) + 0.5) / width
        centres.append(torch.stack(torch.meshgrid(y, x, indexing='ij')[::-1], -1).flatten(0, 1))
    scale = torch.tensor([(1 / width, 1 / height) for height, width in sizes], device=device)
    return torch.cat(centres), scale


@lru_cache(maxsize=8)
def _mmcv_runs_on(device: torch.device) -> bool:
    """Whether mmcv was compiled for this GPU; found out once, by a tiny call."""
    tiny = torch.ones(1, 1, 1, 8, device=device)
    try:
        _cuda(tiny, [(1, 1)], torch.full((1, 1, 1, 1, 1, 2), 0.5, device=device),
              torch.ones(1, 1, 1, 1, 1, device=device))
    except (ImportError, RuntimeError) as error:
        warnings.warn(
            f"mmcv's compiled deformable attention does not run on {device} ({error}); the slower "
            f"grid_sample is used. Faster: pip install \"unimask[mm]\", and then what `unimask "
            f"doctor` names.", stacklevel=2)
        return False
    return True


def _cuda(value: Tensor, sizes: Sequence[Size], locations: Tensor, weights: Tensor) -> Tensor:
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
    shapes, starts = _level_tensors(tuple(sizes), value.device)
    step = value.shape[0]
    return MultiScaleDeformableAttnFunction.apply(
        value.contiguous(), shapes, starts, locations.contiguous(), weights.contiguous(), step)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _level_tensors(sizes: tuple[Size, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Sizes (L, 2) and first indices (L,) on the device."""
    areas = [height * width for height, width in sizes]
    starts = [sum(areas[:level]) for level in range(len(areas))]
    return torch.tensor(sizes, device=device), torch.tensor(starts, device=device)


def grid_sample_attention(value: Tensor, sizes: Sequence[Size], locations: Tensor,
                          weights: Tensor) -> Tensor:
    """The same with ``grid_sample``, for any device and float type."""
    batch, _, heads, channels = value.shape
    targets, points = locations.shape[1], locations.shape[4]
    grids = (2 * locations - 1).permute(3, 0, 2, 1, 4, 5).flatten(1, 2)
    levels = value.split([height * width for height, width in sizes], dim=1)
    samples = []
    for level, (height, width) in enumerate(sizes):
        maps = levels[level].permute(0, 2, 3, 1).reshape(batch * heads, channels, height, width)
        samples.append(F.grid_sample(maps, grids[level], align_corners=False))
    stacked = torch.stack(samples, dim=-2).flatten(-2)
    scale = weights.permute(0, 2, 1, 3, 4).reshape(
        batch * heads, 1, targets, len(sizes) * points)
    summed = (stacked * scale).sum(-1)
    return summed.view(batch, heads * channels, targets).transpose(1, 2)
