"""MaskFormer's pixel decoder: a plain FPN.

Shapes: B batch, C channels, (h_i, w_i) sizes of the backbone's maps, fine to coarse.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from unimask.models.layers import conv_norm
from unimask.models.layers.blocks import caffe2_xavier_
from unimask.registry import MODELS
from unimask.structures import PixelFeatures


@MODELS.register_module()
class FPNPixelDecoder(BaseModule):
    """From the coarsest map upwards: nearest upsampling plus lateral map, 3x3 convolution.

    MaskFormer, section 3.4. The memory is the coarsest backbone map.

    Args:
        in_channels: Channels of the backbone's maps, fine to coarse.
        channels: Width of the pyramid.
        mask_channels: C of the mask features.
    """

    def __init__(self, *, in_channels: Sequence[int], channels: int = 256,
                 mask_channels: int = 256) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(
            conv_norm(width, channels, 1, relu=False) for width in in_channels[:-1])
        coarsest = self.coarsest_channels(in_channels, channels)
        self.output_convs = nn.ModuleList(
            conv_norm(width, channels, 3, relu=True)
            for width in [channels] * (len(in_channels) - 1) + [coarsest])
        self.mask_features = nn.Conv2d(channels, mask_channels, 3, padding=1)
        caffe2_xavier_(self.mask_features)
        self.memory_channels = (coarsest,)
        self.mask_channels = mask_channels

    def coarsest_channels(self, in_channels: Sequence[int], channels: int) -> int:
        """Channels of the map that the top-down path starts from."""
        return in_channels[-1]

    def encode(self, coarsest: Tensor) -> Tensor:
        """What becomes of the coarsest map before the top-down path starts."""
        return coarsest

    def forward(self, features: Sequence[Tensor]) -> PixelFeatures:
        """Backbone maps, fine to coarse -> mask features at the finest map's size, memory."""
        memory = self.encode(features[-1])
        x = self.output_convs[-1](memory)
        for level in reversed(range(len(features) - 1)):
            lateral = self.lateral_convs[level](features[level])
            x = lateral + F.interpolate(x, lateral.shape[-2:], mode='nearest')
            x = self.output_convs[level](x)
        return PixelFeatures(self.mask_features(x), (memory,))
