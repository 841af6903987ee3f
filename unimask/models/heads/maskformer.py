"""MaskFormer's transformer decoder.

Shapes: L = layers predictions, B batch, Q queries, K classes, C width, C_m mask dimension.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from unimask.models.heads.query_head import QueryHead
from unimask.models.layers import DecoderLayer, projection, sine_position
from unimask.registry import MODELS
from unimask.structures import MaskPrediction, PixelFeatures, TargetBatch


@MODELS.register_module()
class MaskFormerHead(QueryHead):
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
            num_classes=num_classes, mask_channels=mask_channels, channels=channels)
        self.query_embed = nn.Embedding(num_queries, channels)
        self.input_proj = projection(memory_channels[0], channels)
        self.layers = nn.ModuleList(
            DecoderLayer(width=channels, num_heads=num_heads, ffn_channels=ffn_channels,
                         dropout=dropout, cross_first=False)
            for _ in range(num_layers))

    def forward(self, pixels: PixelFeatures, targets: TargetBatch | None = None
                ) -> MaskPrediction:
        """All L predictions, one after every layer; ``targets`` are not looked at."""
        memory = self.input_proj(pixels.memory[0])
        value = memory.flatten(2).transpose(1, 2)
        key = value + sine_position(tuple(memory.shape[-2:]), memory.shape[1], memory.device)
        position = self.query_embed.weight
        query = torch.zeros_like(position).expand(len(memory), -1, -1)
        states = []
        for layer in self.layers:
            query = layer(query, position, key=key, value=value)
            states.append(query)
        return MaskPrediction(*self.classify(torch.stack(states)), pixels.mask_features)
