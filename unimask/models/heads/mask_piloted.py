"""Mask2Former's decoder, trained with a pilot."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from unimask.models.heads.mask2former import Mask2FormerHead
from unimask.registry import MODELS, build
from unimask.structures import MaskPrediction, PixelFeatures, TargetBatch


@MODELS.register_module()
class MaskPilotedHead(Mask2FormerHead):
    """Mask2Former's decoder with mask-piloted training (MP-Former); at test time it is that alone.

    In training, where it is called with targets, the pilot's queries go through the decoder before
    the matching ones. What they predict is in ``MaskPrediction.piloted``.

    Args:
        num_classes: K; the segmentor fills it in from its taxonomy.
        pilot: Config or object of a ``MaskPilot``; None for the published settings: one group,
            classes noised with 0.2, masks not, in all layers.
        memory_channels: Channels of the memory levels; filled in from the pixel decoder.
        mask_channels: C_m; filled in from the pixel decoder.
        num_queries: Q, the matching queries.
        num_layers: Decoder layers; layer i attends to level i mod number of levels.
        channels: C.
        num_heads: Attention heads.
        ffn_channels: Hidden width of the feed-forward parts.
        dropout: Inside the decoder.
        query_position: Whether matching queries have a learned position. Mask2Former's do; the
            published MP-Former has none.
    """

    def __init__(self, *, num_classes: int, pilot: dict | nn.Module | None = None,
                 memory_channels: Sequence[int] = (256, 256, 256), mask_channels: int = 256,
                 num_queries: int = 100, num_layers: int = 9, channels: int = 256,
                 num_heads: int = 8, ffn_channels: int = 2048, dropout: float = 0.0,
                 query_position: bool = False) -> None:
        super().__init__(
            num_classes=num_classes, memory_channels=memory_channels, mask_channels=mask_channels,
            num_queries=num_queries, num_layers=num_layers, channels=channels,
            num_heads=num_heads, ffn_channels=ffn_channels, dropout=dropout,
            query_position=query_position)
        self.pilot = build(MODELS, pilot or dict(type='MaskPilot'), num_classes=num_classes,
                           channels=channels, num_heads=num_heads)

    def forward(self, pixels: PixelFeatures, targets: TargetBatch | None = None
                ) -> MaskPrediction:
        """All L predictions; with targets also those of the piloted queries."""
        queries = self.queries(len(pixels.mask_features))
        if targets is None:
            return self.decode(pixels, queries)
        # Always, also without a segment: then every process has the same losses and gradients.
        pilot = self.pilot(targets, [level.shape[-2:] for level in pixels.memory])
        return pilot.split(self.decode(pixels, pilot.lead(queries)))
