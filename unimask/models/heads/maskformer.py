"""MaskFormer's transformer decoder, and the per-pixel baseline that has one too.

Shapes: L = layers predictions, B batch, Q queries, K classes, C width, C_m mask dimension,
(h, w) mask features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unimask.models.heads.query_head import QueryHead
from unimask.models.layers import DecoderLayer, projection, sine_position
from unimask.registry import MODELS
from unimask.structures import DensePrediction, MaskPrediction, PixelFeatures, TargetBatch


class _DecoderHead(QueryHead):
    """DETR decoder over the coarsest map; its parameters are those of both heads below."""

    def __init__(self, *, num_classes: int | None, memory_channels: Sequence[int],
                 mask_channels: int, num_queries: int, num_layers: int, channels: int,
                 num_heads: int, ffn_channels: int, dropout: float) -> None:
        super().__init__(
            num_classes=num_classes, mask_channels=mask_channels, channels=channels)
        self.query_embed = nn.Embedding(num_queries, channels)
        self.input_proj = projection(memory_channels[0], channels)
        self.layers = nn.ModuleList(
            DecoderLayer(width=channels, num_heads=num_heads, ffn_channels=ffn_channels,
                         dropout=dropout, cross_first=False)
            for _ in range(num_layers))

    def decode(self, memory: Tensor) -> Tensor:
        """The coarsest map (B, C', h', w') -> queries after every layer, (L, B, Q, C)."""
        memory = self.input_proj(memory)
        value = memory.flatten(2).transpose(1, 2)
        key = value + sine_position(tuple(memory.shape[-2:]), memory.shape[1], memory.device)
        position = self.query_embed.weight
        query = torch.zeros_like(position).expand(len(memory), -1, -1)
        states = []
        for layer in self.layers:
            query = layer(query, position, key=key, value=value)
            states.append(query)
        return torch.stack(states)


@MODELS.register_module()
class MaskFormerHead(_DecoderHead):
    """DETR decoder over the coarsest map; classes and mask embeddings of its queries.

    MaskFormer, section 3.4. A memory of another width than the decoder's is projected first.

    Args:
        num_classes: K; the segmentor fills it in from its taxonomy.
        memory_channels: Channels of the memory, whose first level is used; filled in from the
            pixel decoder.
        mask_channels: C_m; filled in from the pixel decoder.
        num_queries: Q.
        num_layers: L.
        channels: C.
        num_heads: Attention heads.
        ffn_channels: Hidden width of the feed-forward parts.
        dropout: Inside the decoder.
    """

    def __init__(self, *, num_classes: int, memory_channels: Sequence[int] = (256,),
                 mask_channels: int = 256, num_queries: int = 100, num_layers: int = 6,
                 channels: int = 256, num_heads: int = 8, ffn_channels: int = 2048,
                 dropout: float = 0.1) -> None:
        super().__init__(
            num_classes=num_classes, memory_channels=memory_channels,
            mask_channels=mask_channels, num_queries=num_queries, num_layers=num_layers,
            channels=channels, num_heads=num_heads, ffn_channels=ffn_channels, dropout=dropout)

    def forward(self, pixels: PixelFeatures, targets: TargetBatch | None = None
                ) -> MaskPrediction:
        """All L predictions, one after every layer; ``targets`` are not looked at."""
        states = self.decode(pixels.memory[0])
        return MaskPrediction(*self.classify(states), pixels.mask_features)


@MODELS.register_module()
class PerPixelQueryHead(_DecoderHead):
    """One query for every class, whose mask is the class's logits ("PerPixelBaseline+").

    MaskFormer, section 4: the decoder of the proposed model, but a class for every pixel.

    Args:
        num_classes: K, also the number of queries; the segmentor fills it in from its taxonomy.
        memory_channels: As for :class:`MaskFormerHead`.
        mask_channels: C_m; filled in from the pixel decoder.
        num_layers: L.
        channels: C.
        num_heads: Attention heads.
        ffn_channels: Hidden width of the feed-forward parts.
        dropout: Inside the decoder.
    """

    tasks = ('semantic',)
    class_parameters = ('query_embed',)

    def __init__(self, *, num_classes: int, memory_channels: Sequence[int] = (256,),
                 mask_channels: int = 256, num_layers: int = 6, channels: int = 256,
                 num_heads: int = 8, ffn_channels: int = 2048, dropout: float = 0.1) -> None:
        super().__init__(
            num_classes=None, memory_channels=memory_channels, mask_channels=mask_channels,
            num_queries=num_classes, num_layers=num_layers, channels=channels,
            num_heads=num_heads, ffn_channels=ffn_channels, dropout=dropout)

    def forward(self, pixels: PixelFeatures, targets: TargetBatch | None = None
                ) -> DensePrediction:
        """Logits (L, B, K, h, w) in training, of the last layer alone (L = 1) otherwise.

        ``targets`` are not looked at.
        """
        states = self.decode(pixels.memory[0])
        states = states if self.training else states[-1:]
        embeddings = self.mask_embed(self.decoder_norm(states))
        features = pixels.mask_features
        return DensePrediction((embeddings @ features.flatten(2)).unflatten(3, features.shape[-2:]))
