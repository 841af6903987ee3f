"""Modulated deformable convolution: mmcv's compiled op, torchvision's, or our own on the CPU."""

from __future__ import annotations

import warnings
from functools import lru_cache

import torch
from torch import Tensor

from unimask.ops.cpu import native

__all__ = ['deformable_conv']


def deformable_conv(x: Tensor, offset: Tensor, mask: Tensor, *, weight: Tensor, bias: Tensor
                    ) -> Tensor:
    """A convolution whose taps look elsewhere, each with a strength (Zhu et al. 2019, equation 1).

    Stride 1, the size is kept; bilinear samples, zeros outside. Computed in float32 at least,
    under autocast too. On the GPU it is mmcv's kernel, or torchvision's where mmcv was not
    compiled for it; on the CPU our own where a compiler is, else torchvision's. All agree up to
    rounding, but for torchvision's slope of a tap that lies exactly one pixel outside.

    Args:
        x: (B, C, h, w).
        offset: (B, 2 G T, h, w) in pixels, channel g * 2T + 2t + (0 for y, 1 for x): G groups of
            channels, T taps of the kernel row by row.
        mask: (B, G T, h, w), channel g * T + t.
        weight: (O, C, k_h, k_w) with odd sides.
        bias: (O,).

    Returns:
        (B, O, h, w).
    """
    x, offset, mask, weight, bias = (
        each.to(torch.promote_types(each.dtype, torch.float32))
        for each in (x, offset, mask, weight, bias))
    with torch.autocast(x.device.type, enabled=False):
        if native.supports(x, offset, mask, weight):
            return native.deform_conv(x, offset, mask, weight) + bias[:, None, None]
        if x.is_cuda and _mmcv_runs_on(x.device):
            return mmcv_conv(x, offset, mask, weight=weight, bias=bias)
        return torchvision_conv(x, offset, mask, weight=weight, bias=bias)


def mmcv_conv(x: Tensor, offset: Tensor, mask: Tensor, *, weight: Tensor, bias: Tensor) -> Tensor:
    """:func:`deformable_conv` with mmcv's compiled op."""
    from mmcv.ops.modulated_deform_conv import ModulatedDeformConv2dFunction
    kernel = tuple(weight.shape[2:])
    groups = mask.shape[1] // (kernel[0] * kernel[1])
    padding = (kernel[0] // 2, kernel[1] // 2)
    tensors = (each.contiguous() for each in (x, offset, mask, weight, bias))
    return ModulatedDeformConv2dFunction.apply(*tensors, 1, padding, 1, 1, groups)


def torchvision_conv(x: Tensor, offset: Tensor, mask: Tensor, *, weight: Tensor, bias: Tensor
                     ) -> Tensor:
    """:func:`deformable_conv` with torchvision's op, on every device and for tracing."""
    from torchvision.ops import deform_conv2d
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    return deform_conv2d(x, offset, weight, bias, padding=padding, mask=mask)


@lru_cache(maxsize=8)
def _mmcv_runs_on(device: torch.device) -> bool:
    """Whether mmcv was compiled for this GPU; found out once, by a tiny call."""
    x, weight = torch.ones(1, 1, 1, 1, device=device), torch.ones(1, 1, 1, 1, device=device)
    try:
        mmcv_conv(x, torch.zeros(1, 2, 1, 1, device=device), x, weight=weight,
                  bias=torch.zeros(1, device=device))
    except (ImportError, RuntimeError) as error:
        warnings.warn(
            f"mmcv's compiled deformable convolution does not run on {device} ({error}); "
            f"torchvision's is used. Mended by pip install \"unimask[mm]\", and then what "
            f"`unimask doctor` names.", stacklevel=2)
        return False
    return True
