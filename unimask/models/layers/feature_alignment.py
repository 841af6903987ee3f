"""Feature alignment and selection (FaPN, sections 3.1 and 3.2).

Shapes: B batch, C channels, (h, w) size of the finer map.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.layers.convolution import caffe2_xavier_, conv_norm
from unimask.ops import deformable_conv

__all__ = ['FeatureAlignment', 'FeatureSelection']

TAPS = 9  # of the 3x3 kernel


class FeatureAlignment(nn.Module):
    """Moves an upsampled coarse map to where the finer one has its edges, and adds the finer one.

    As published with SeMask, its norm is that of the convolution that follows, which hands it in:
    one set of parameters that both train.

    Args:
        channels: C.
        groups: Groups of channels that move together.

    Raises:
        UserError: If the groups do not divide the channels.
    """

    def __init__(self, channels: int, *, groups: int = 8) -> None:
        super().__init__()
        if channels % groups:
            raise UserError(f'align_groups={groups} does not divide channels={channels} of the '
                            f'pixel decoder.')
        self.groups = groups
        self.fusion = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.sampling = nn.Conv2d(channels, 3 * groups * TAPS, 3, padding=1)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """It starts as a plain convolution of half strength."""
        caffe2_xavier_(self.fusion)
        bound = 1 / math.sqrt(self.conv.weight[0].numel())
        nn.init.uniform_(self.conv.weight, -bound, bound)
        for zero in (self.conv.bias, self.sampling.weight, self.sampling.bias):
            nn.init.zeros_(zero)

    def forward(self, finer: Tensor, coarse: Tensor, *, norm: nn.Module) -> Tensor:
        """Both maps and the result are (B, C, h, w)."""
        fused = norm(self.fusion(torch.cat([finer, 2 * coarse], 1)))
        count = self.groups * TAPS
        offset, mask = self.sampling(fused).split([2 * count, count], 1)
        moved = deformable_conv(coarse, offset, mask.sigmoid(), weight=self.conv.weight,
                                bias=self.conv.bias)
        return moved.relu() + finer


class FeatureSelection(nn.Module):
    """A lateral convolution before which important channels are strengthened."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.importance = nn.Conv2d(inputs, inputs, 1, bias=False)
        caffe2_xavier_(self.importance)
        self.output = conv_norm(inputs, outputs, 1, relu=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_i, h, w) -> (B, C, h, w)."""
        importance = self.importance(x.mean((2, 3), keepdim=True)).sigmoid()
        return self.output(x + x * importance)
