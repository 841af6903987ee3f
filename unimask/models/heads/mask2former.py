"""Mask2Former's transformer decoder with masked attention.

Shapes: L = layers + 1 predictions, B batch, Q queries, K classes, C width, C_m mask dimension,
(h, w) mask features, (h_l, w_l) memory level l.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimask.models.heads.query_head import QueryHead
from unimask.models.layers import DecoderLayer, DecoderQueries, projection, sine_position
from unimask.registry import MODELS
from unimask.structures import MaskPrediction, PixelFeatures, TargetBatch


@MODELS.register_module()
class Mask2FormerHead(QueryHead):
    """Queries look, layer by layer, where their previous mask is (Mask2Former, section 3.2).

    Args:
        num_classes: K; the segmentor fills it in from its taxonomy.
        memory_channels: Channels of the memory levels; filled in from the pixel decoder.
        mask_channels: C_m; filled in from the pixel decoder.
        num_queries: Q.
        num_layers: Decoder layers; layer i attends to level i mod number of levels.
        channels: C.
        num_heads: Attention heads.
        ffn_channels: Hidden width of the feed-forward parts.
        dropout: Inside the decoder.
        query_position: Whether queries have a learned position.
    """

    optional_parameters: ClassVar = {'query_embed': 'query_position'}

    def __init__(self, *, num_classes: int, memory_channels: Sequence[int] = (256, 256, 256),
                 mask_channels: int = 256, num_queries: int = 100, num_layers: int = 9,
                 channels: int = 256, num_heads: int = 8, ffn_channels: int = 2048,
                 dropout: float = 0.0, query_position: bool = True) -> None:
        super().__init__(
            num_classes=num_classes, mask_channels=mask_channels, channels=channels)
        self.num_levels = len(memory_channels)
        self.query_feat = nn.Embedding(num_queries, channels)
        self.query_embed = nn.Embedding(num_queries, channels) if query_position else None
        self.level_embed = nn.Embedding(self.num_levels, channels)
        self.input_proj = nn.ModuleList(projection(width, channels) for width in memory_channels)
        self.layers = nn.ModuleList(
            DecoderLayer(width=channels, num_heads=num_heads, ffn_channels=ffn_channels,
                         dropout=dropout, cross_first=True)
            for _ in range(num_layers))

    def forward(self, pixels: PixelFeatures, targets: TargetBatch | None = None
                ) -> MaskPrediction:
        """All L predictions: one from the bare queries, one after every layer.

        ``targets`` are not looked at.
        """
        return self.decode(pixels, self.queries(len(pixels.mask_features)))

    def queries(self, batch: int) -> DecoderQueries:
        """The learned queries, for every image the same."""
        position = None if self.query_embed is None else self.query_embed.weight
        return DecoderQueries(self.query_feat.weight.expand(batch, -1, -1), position)

    def decode(self, pixels: PixelFeatures, queries: DecoderQueries) -> MaskPrediction:
        """All L predictions of any queries."""
        keys, values = self.embed_memory(pixels.memory)
        thumbnails = self.thumbnails(pixels)
        query = queries.content
        class_logits, embeddings = self.classify(query)
        predictions = [(class_logits, embeddings)]
        for index, layer in enumerate(self.layers):
            level = index % self.num_levels
            query = layer(
                query, queries.position, key=keys[level], value=values[level],
                visible=visible_to(queries, index, embeddings, thumbnails[level]),
                among=queries.among)
            class_logits, embeddings = self.classify(query)
            predictions.append((class_logits, embeddings))
        return MaskPrediction(*map(torch.stack, zip(*predictions, strict=True)),
                              pixels.mask_features)

    def embed_memory(self, memory: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Keys and values (B, h_l * w_l, C): both with the level, keys with the position too."""
        values = [
            project(level).flatten(2).transpose(1, 2) + embed
            for project, level, embed in zip(
                self.input_proj, memory, self.level_embed.weight, strict=True)]
        keys = [
            value + sine_position(tuple(level.shape[-2:]), value.shape[-1], value.device)
            for value, level in zip(values, memory, strict=True)]
        return keys, values

    @torch.no_grad()
    def thumbnails(self, pixels: PixelFeatures) -> list[Tensor]:
        """Mask features at each level's size, (B, C_m, h_l * w_l).

        Resizing is linear over space and the mask product over channels, so resized features
        give resized masks: the masks themselves are never made.
        """
        features = pixels.mask_features.float()
        return [
            _flat(F.interpolate(
                features, level.shape[-2:], mode='bilinear', align_corners=False))
            for level in pixels.memory]


def _flat(maps: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, h * w) without moving maps whose channels come last in memory."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2).transpose(1, 2)


@torch.no_grad()
def visible_cells(embeddings: Tensor, thumbnail: Tensor) -> Tensor:
    """Where each query may look: where its mask is at least 1/2, everywhere if that is nowhere.

    Args:
        embeddings: (B, Q, C_m).
        thumbnail: (B, C_m, h_l * w_l).

    Returns:
        (B, 1, Q, h_l * w_l) bool (Mask2Former, equation 3), broadcast over heads.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        visible = embeddings.float() @ thumbnail >= 0
    return (visible | ~visible.any(-1, keepdim=True))[:, None]


def visible_to(queries: DecoderQueries, layer: int, embeddings: Tensor, thumbnail: Tensor
               ) -> Tensor:
    """Where all queries may look in a layer, (B, H or 1, T, h_l * w_l) bool: guided ones first."""
    guided = queries.guide(layer) if queries.guide else None
    if guided is None:
        return visible_cells(embeddings, thumbnail)
    own = visible_cells(embeddings[:, guided.shape[2]:], thumbnail)
    return torch.cat([guided, own.expand(-1, guided.shape[1], -1, -1)], dim=2)
