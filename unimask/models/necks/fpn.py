"""MaskFormer's pixel decoder: a plain FPN, with a transformer encoder at its top if wanted.

Shapes: B batch, C channels, (h_i, w_i) sizes of the backbone's maps, fine to coarse.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from unimask.models.layers import conv_norm, published_conv, top_down_step
from unimask.registry import MODELS
from unimask.structures import PixelFeatures


@MODELS.register_module()
class FPNPixelDecoder(BaseModule):
    """From the coarsest map upwards: nearest upsampling plus lateral map, 3x3 convolution.

    MaskFormer, section 3.4. The memory is the coarsest map that the top-down path starts from.

    Args:
        in_channels: Channels of the backbone's maps, fine to coarse.
        channels: Width of the pyramid.
        mask_channels: C of the mask features.
    """

    def __init__(self, *, in_channels: Sequence[int], channels: int = 256,
                 mask_channels: int = 256) -> None:
        super().__init__()
        *finer, coarsest = in_channels
        self.lateral_convs = nn.ModuleList(
            conv_norm(width, channels, 1, relu=False) for width in finer)
        self.output_convs = nn.ModuleList(
            conv_norm(width, channels, 3, relu=True) for width in [channels] * len(finer))
        self.output_convs.append(conv_norm(coarsest, channels, 3, relu=True))
        self.align = nn.ModuleList()  # one for each finer map in decoders that align
        self.mask_features = published_conv(channels, mask_channels, 3)
        self.memory_channels = (coarsest,)
        self.mask_channels = mask_channels

    def forward(self, features: Sequence[Tensor]) -> PixelFeatures:
        """Backbone maps, fine to coarse -> mask features at the finest map's size, memory."""
        return PixelFeatures(self.mask_features(self.pyramid(features)[-1]), (features[-1],))

    def pyramid(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Backbone maps, fine to coarse -> maps (B, C, h_i, w_i) of the pyramid, coarse to fine."""
        *finer, coarsest = features
        levels = [self.output_convs[-1](coarsest)]
        for level in reversed(range(len(finer))):
            levels.append(top_down_step(
                levels[-1], finer[level], lateral=self.lateral_convs[level],
                output=self.output_convs[level], mode='nearest',
                align=self.align[level] if self.align else None))
        return levels
