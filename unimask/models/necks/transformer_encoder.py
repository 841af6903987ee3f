"""MaskFormer's pixel decoder with a transformer encoder on the coarsest map ("+ 6 Enc")."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from unimask.models.layers import EncoderLayer, published_conv, sine_position
from unimask.models.necks.fpn import FPNPixelDecoder
from unimask.registry import MODELS
from unimask.structures import PixelFeatures


@MODELS.register_module()
class TransformerEncoderPixelDecoder(FPNPixelDecoder):
    """The coarsest map passes a post-norm encoder first; its output is also the memory.

    MaskFormer, appendix A (panoptic models), with DETR's encoder.

    Args:
        in_channels: Channels of the backbone's maps, fine to coarse.
        channels: Width of the pyramid and of the encoder.
        mask_channels: C of the mask features.
        num_layers: Encoder layers.
        num_heads: Attention heads.
        ffn_channels: Hidden width of the feed-forward parts.
        dropout: Inside the encoder.
    """

    def __init__(self, *, in_channels: Sequence[int], channels: int = 256,
                 mask_channels: int = 256, num_layers: int = 6, num_heads: int = 8,
                 ffn_channels: int = 2048, dropout: float = 0.1) -> None:
        super().__init__(in_channels=[*in_channels[:-1], channels], channels=channels,
                         mask_channels=mask_channels)
        self.input_proj = published_conv(in_channels[-1], channels, 1)
        self.encoder = nn.ModuleList(
            EncoderLayer(width=channels, num_heads=num_heads, ffn_channels=ffn_channels,
                         dropout=dropout)
            for _ in range(num_layers))

    def forward(self, features: Sequence[Tensor]) -> PixelFeatures:
        """Backbone maps, fine to coarse -> mask features at the finest map's size, memory."""
        *finer, coarsest = features
        return super().forward([*finer, self.encode(coarsest)])

    def encode(self, coarsest: Tensor) -> Tensor:
        """The coarsest map (B, C_i, h, w) through the encoder, (B, C, h, w)."""
        x = self.input_proj(coarsest)
        size = tuple(x.shape[-2:])
        position = sine_position(size, x.shape[1], x.device)
        tokens = x.flatten(2).transpose(1, 2)
        for layer in self.encoder:
            tokens = layer(tokens, position)
        return tokens.unflatten(1, size).permute(0, 3, 1, 2)
