"""Pixel decoders with feature alignment: FaPN, and Mask2Former's with an aligned step (MSFaPN).

Shapes: B batch, C channels, (h_i, w_i) sizes of the backbone's maps, fine to coarse.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.layers import FeatureAlignment, FeatureSelection
from unimask.models.necks.fpn import FPNPixelDecoder
from unimask.models.necks.msdeformattn import MSDeformAttnPixelDecoder
from unimask.registry import MODELS
from unimask.structures import PixelFeatures


@MODELS.register_module()
class FaPNPixelDecoder(FPNPixelDecoder):
    """A feature pyramid whose coarse maps are moved to fit the finer ones (FaPN, section 3).

    As published with SeMask: the lateral map is added before and after the alignment, laterals are
    plain convolutions, and the memory is the coarse part of the pyramid.

    Args:
        in_channels: Channels of the backbone's maps, fine to coarse.
        channels: C, width of the pyramid.
        mask_channels: Of the mask features.
        num_levels: How many of the coarsest maps of the pyramid are the memory.
        align_groups: Groups of channels that move together.
        selection: Whether laterals are the feature selection of FaPN's section 3.2.

    Raises:
        UserError: There are fewer maps than levels, or the groups do not divide the channels.
    """

    def __init__(self, *, in_channels: Sequence[int], channels: int = 256,
                 mask_channels: int = 256, num_levels: int = 3, align_groups: int = 8,
                 selection: bool = False) -> None:
        super().__init__(in_channels=in_channels, channels=channels, mask_channels=mask_channels)
        if not 1 <= num_levels <= len(in_channels):
            raise UserError(
                f'num_levels={num_levels} must be at least 1 and needs as many feature maps, but '
                f'the backbone returns {len(in_channels)}: see its out_indices.')
        finer = list(in_channels)[:-1]
        self.align = nn.ModuleList(
            FeatureAlignment(channels, groups=align_groups) for _ in finer)
        if selection:
            self.lateral_convs = nn.ModuleList(
                FeatureSelection(width, channels) for width in finer)
        self.memory_channels = (channels,) * num_levels

    def forward(self, features: Sequence[Tensor]) -> PixelFeatures:
        """Backbone maps, fine to coarse -> mask features at the finest map's size, memory."""
        levels = self.pyramid(features)
        memory = levels[:len(self.memory_channels)]
        return PixelFeatures(self.mask_features(levels[-1]), tuple(memory))


@MODELS.register_module()
class MSFaPNPixelDecoder(MSDeformAttnPixelDecoder):
    """Mask2Former's pixel decoder with feature alignment in its FPN steps (SeMask's MSFaPN).

    Args:
        in_channels: Channels of the backbone's maps, fine to coarse.
        channels: Width of tokens and pyramid.
        mask_channels: Of the mask features.
        num_levels: How many of the coarsest maps the encoder sees; the finer ones are FPN steps.
        num_layers: Encoder layers.
        num_heads: Attention heads.
        num_points: Points a head looks at on each level.
        ffn_channels: Hidden width of the feed-forward parts.
        dropout: Inside the encoder.
        autocast: Whether autocast may lower the precision; published models keep float32.
        align_groups: Groups of channels that the alignment moves together.

    Raises:
        UserError: No map is left to align, or the groups do not divide the channels.
    """

    def __init__(self, *, in_channels: Sequence[int], channels: int = 256,
                 mask_channels: int = 256, num_levels: int = 3, num_layers: int = 6,
                 num_heads: int = 8, num_points: int = 4, ffn_channels: int = 1024,
                 dropout: float = 0.0, autocast: bool = False, align_groups: int = 8) -> None:
        super().__init__(
            in_channels=in_channels, channels=channels, mask_channels=mask_channels,
            num_levels=num_levels, num_layers=num_layers, num_heads=num_heads,
            num_points=num_points, ffn_channels=ffn_channels, dropout=dropout, autocast=autocast)
        if not self.lateral_convs:
            raise UserError(
                f'MSFaPNPixelDecoder aligns the maps that its encoder does not see, but with '
                f'num_levels={num_levels} of {len(in_channels)} maps none is left: lower '
                f'num_levels, or use MSDeformAttnPixelDecoder.')
        self.align = nn.ModuleList(
            FeatureAlignment(channels, groups=align_groups) for _ in self.lateral_convs)
