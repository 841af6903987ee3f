"""The pixel decoder of Semantic FPN and SeMask-FPN: no top-down path, a sum.

Shapes: B batch, C channels, (h_i, w_i) sizes of the backbone's maps, fine to coarse.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from unimask.models.layers import ConvNorm
from unimask.registry import MODELS
from unimask.structures import PixelFeatures


@MODELS.register_module()
class SemanticFPNPixelDecoder(BaseModule):
    """Each map on its own to the finest size, then their sum (Panoptic FPN, section 3.1).

    Map i goes through max(1, i) steps of 3x3 convolution, batch norm and ReLU, each but that of
    the finest map followed by an upsampling by two.

    Args:
        in_channels: Channels of the backbone's maps, fine to coarse.
        channels: C, also that of the mask features.
        norm_cfg: The norm, ``dict(type='SyncBN')`` for small batches on several GPUs.
    """

    memory_channels = ()

    def __init__(self, *, in_channels: Sequence[int], channels: int = 256,
                 norm_cfg: dict | None = None) -> None:
        super().__init__()
        self.scales = nn.ModuleList()
        for level, width in enumerate(in_channels):
            widths = [width, *[channels] * max(0, level - 1)]
            self.scales.append(nn.ModuleList(
                ConvNorm(each, channels, 3, norm=norm_cfg or dict(type='BN'), relu=True)
                for each in widths))
        self.mask_channels = channels

    def forward(self, features: Sequence[Tensor]) -> PixelFeatures:
        """Backbone maps, fine to coarse -> mask features at the finest map's size, no memory."""
        finest, *others = self.scales
        total = finest[0](features[0])
        for steps, x in zip(others, features[1:], strict=True):
            for step in steps:
                x = _resize(step(x), (2 * x.shape[-2], 2 * x.shape[-1]))
            total = total + _resize(x, total.shape[-2:])
        return PixelFeatures(total)


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode='bilinear')
