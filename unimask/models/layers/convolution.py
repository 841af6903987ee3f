"""Convolutions of pixel decoders and projections, initialised as published."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn


def conv_norm(inputs: int, outputs: int, kernel: int, *, relu: bool) -> ConvModule:
    """Convolution without bias, GroupNorm(32), optionally ReLU; initialised as published."""
    module = ConvModule(
        inputs, outputs, kernel, padding=kernel // 2, bias=False,
        norm_cfg=dict(type='GN', num_groups=32), act_cfg=dict(type='ReLU') if relu else None)
    caffe2_xavier_(module.conv)
    return module


def projection(inputs: int, outputs: int) -> nn.Module:
    """1x1 convolution between widths that differ, nothing where they do not."""
    return nn.Identity() if inputs == outputs else published_conv(inputs, outputs, 1)


def published_conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """Convolution with bias that keeps the map's size, initialised as published."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    caffe2_xavier_(conv)
    return conv


def caffe2_xavier_(conv: nn.Conv2d) -> None:
    """Kaiming uniform with a = 1 and zero bias, which Caffe2 called Xavier."""
    nn.init.kaiming_uniform_(conv.weight, a=1)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def top_down_step(coarse: Tensor, finer: Tensor, *, lateral: Callable[[Tensor], Tensor],
                  output: Callable[[Tensor], Tensor], mode: str,
                  align: Callable[..., Tensor] | None = None) -> Tensor:
    """One step of a feature pyramid (FPN, section 3), with or without feature alignment.

    Args:
        coarse: (B, C, h, w) result of the coarser level.
        finer: (B, C_i, h_i, w_i) map of the finer level.
        lateral: Brings ``finer`` to C channels.
        output: Convolution of the sum.
        mode: Of the resizing of ``coarse``: ``nearest`` or ``bilinear`` (no aligned corners).
        align: ``align(here, sum, norm=output.norm)``, a
            :class:`~unimask.models.layers.feature_alignment.FeatureAlignment`: moves the sum to
            fit the lateral map, which it adds once more, as published with SeMask.

    Returns:
        (B, C, h_i, w_i).
    """
    here = lateral(finer)
    x = here + F.interpolate(coarse, here.shape[-2:], mode=mode)
    if align is not None:
        x = align(here, x, norm=output.norm)
    return output(x)
