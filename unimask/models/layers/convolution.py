"""Convolutions of pixel decoders and projections, initialised as published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.layers.group_norm import GroupNorm

# Type in a config -> name in checkpoints, class.
_NORMS = {'BN': ('bn', nn.BatchNorm2d), 'SyncBN': ('bn', nn.SyncBatchNorm),
          'GN': ('gn', GroupNorm)}


class ConvNorm(nn.Module):
    """Convolution without bias that keeps the map's size, norm, optionally ReLU.

    Parameters have the names and first values of mmcv's ``ConvModule``: ``conv``, and ``bn`` or
    ``gn``; Kaiming normal by the outputs.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        kernel: Edge of the kernel, odd.
        norm: Its config: ``dict(type='BN')``, ``SyncBN``, or ``GN`` with ``num_groups``; and
            options of torch's class, or ``requires_grad``.
        relu: Whether a ReLU follows.

    Raises:
        UserError: The norm is another one.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, norm: Mapping[str, Any],
                 relu: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode='fan_out', nonlinearity='relu')
        self._norm, made = _norm(norm, outputs)
        self.add_module(self._norm, made)
        self.activate = nn.ReLU(inplace=True) if relu else nn.Identity()

    @property
    def norm(self) -> nn.Module:
        """The norm, whatever its name."""
        return getattr(self, self._norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w)."""
        return self.activate(self.norm(self.conv(x)))


def _norm(config: Mapping[str, Any], channels: int) -> tuple[str, nn.Module]:
    """Name and module of a norm."""
    options = dict(config)
    kind, trained = options.pop('type', None), options.pop('requires_grad', True)
    if kind not in _NORMS:
        raise UserError(f'norm_cfg: type is {kind!r}, but must be one of {tuple(_NORMS)}.')
    name, made_by = _NORMS[kind]
    options['num_channels' if kind == 'GN' else 'num_features'] = channels
    return name, made_by(**options).requires_grad_(trained)


def conv_norm(inputs: int, outputs: int, kernel: int, *, relu: bool) -> ConvNorm:
    """Convolution without bias, GroupNorm(32), optionally ReLU; initialised as published."""
    module = ConvNorm(inputs, outputs, kernel, norm=dict(type='GN', num_groups=32), relu=relu)
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
