"""Mask2Former's pixel decoder: multi-scale deformable attention and one FPN step per finer map.

Shapes: B batch, C channels, S tokens of all attended levels, (h_i, w_i) sizes of the maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.layers import (
    DeformableEncoderLayer,
    GroupNorm,
    conv_norm,
    published_conv,
    sine_position,
    top_down_step,
)
from unimask.registry import MODELS
from unimask.structures import PixelFeatures


@MODELS.register_module()
class MSDeformAttnPixelDecoder(BaseModule):
    """Deformable encoder over the coarse maps, FPN up to the finest (Mask2Former, section 3.2.1).

    Levels run coarse to fine everywhere: projections, level embedding, offsets, memory.

    Args:
        in_channels: Channels of the backbone's maps, fine to coarse.
        channels: Width of tokens and pyramid.
        mask_channels: C of the mask features.
        num_levels: How many of the coarsest maps the encoder sees; the finer ones are FPN steps.
        num_layers: Encoder layers.
        num_heads: Attention heads.
        num_points: Points a head looks at on each level.
        ffn_channels: Hidden width of the feed-forward parts.
        dropout: Inside the encoder.
        autocast: Whether autocast may lower the precision of the linear layers here. Published
            models keep the whole pixel decoder in float32; the sampling always is.

    Raises:
        UserError: If there are fewer maps than levels.
    """

    def __init__(self, *, in_channels: Sequence[int], channels: int = 256,
                 mask_channels: int = 256, num_levels: int = 3, num_layers: int = 6,
                 num_heads: int = 8, num_points: int = 4, ffn_channels: int = 1024,
                 dropout: float = 0.0, autocast: bool = False) -> None:
        super().__init__()
        if len(in_channels) < num_levels:
            raise UserError(
                f'num_levels={num_levels} needs as many feature maps, but the backbone returns '
                f'{len(in_channels)}: see its out_indices.')
        self.num_levels = num_levels
        self.autocast = autocast
        self.input_proj = nn.ModuleList(
            _projection(width, channels) for width in list(in_channels)[::-1][:num_levels])
        self.level_embed = nn.Parameter(torch.randn(num_levels, channels))
        self.encoder = nn.ModuleList(
            DeformableEncoderLayer(
                width=channels, num_heads=num_heads, num_levels=num_levels,
                num_points=num_points, ffn_channels=ffn_channels, dropout=dropout)
            for _ in range(num_layers))
        finer = list(in_channels)[:-num_levels]
        self.lateral_convs = nn.ModuleList(
            conv_norm(width, channels, 1, relu=False) for width in finer)
        self.output_convs = nn.ModuleList(
            conv_norm(channels, channels, 3, relu=True) for _ in finer)
        self.align = nn.ModuleList()  # one for each finer map in decoders that align
        self.mask_features = published_conv(channels, mask_channels, 1)
        self.memory_channels = (channels,) * num_levels
        self.mask_channels = mask_channels

    def forward(self, features: Sequence[Tensor]) -> PixelFeatures:
        """Backbone maps, fine to coarse -> mask features at the finest map's size, memory."""
        if self.autocast:
            return self.decode(features)
        with torch.autocast(features[0].device.type, enabled=False):
            return self.decode([feature.float() for feature in features])

    def decode(self, features: Sequence[Tensor]) -> PixelFeatures:
        """The same in the current precision."""
        memory = self.encode(features[::-1][:self.num_levels])
        x = memory[-1].contiguous(memory_format=torch.channels_last)
        for level in reversed(range(len(self.lateral_convs))):
            x = top_down_step(x, features[level], lateral=self.lateral_convs[level],
                              output=self.output_convs[level], mode='bilinear',
                              align=self.align[level] if self.align else None)
        return PixelFeatures(self.mask_features(x), tuple(memory))

    def encode(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The attended maps, coarse to fine, through the encoder; sizes stay."""
        sizes = tuple(tuple(x.shape[-2:]) for x in maps)
        tokens = torch.cat(
            [project(x).flatten(2).transpose(1, 2)
             for project, x in zip(self.input_proj, maps, strict=True)], dim=1)
        position = torch.cat(
            [sine_position(size, tokens.shape[2], tokens.device) + embed
             for size, embed in zip(sizes, self.level_embed, strict=True)])
        for layer in self.encoder:
            tokens = layer(tokens, position, sizes)
        levels = tokens.split([height * width for height, width in sizes], dim=1)
        # Permuted last: torch then knows that the channels come last in memory, and keeps it so.
        return [level.unflatten(1, size).permute(0, 3, 1, 2)
                for level, size in zip(levels, sizes, strict=True)]


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 1)
    nn.init.xavier_uniform_(conv.weight)
    nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, GroupNorm(32, outputs))
