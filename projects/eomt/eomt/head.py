"""EoMT's queries, which share the last blocks of a ViT with the image.

Shapes: B batch, Q queries, K classes, C width, P prefix tokens, (h, w) patches, T = Q + P + h * w
tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from projects.eomt.eomt.criterion import StagedPrediction
from projects.eomt.eomt.vit import OpenFeatures
from unimask.registry import MODELS
from unimask.structures import MaskPrediction, TargetBatch

__all__ = ['EoMTHead']

@MODELS.register_module()
class EoMTHead(BaseModule):
    """Queries that are tokens of the ViT (EoMT, section 3.2), with mask annealing (section 3.3).

    With targets it predicts before each of the last blocks too, and lets some of the queries look
    only where their mask is. Without, it is the blocks of the ViT and one prediction.

    Args:
        num_classes: K; the segmentor fills it in from its taxonomy.
        in_channels: (C,); filled in from the backbone.
        num_queries: Q.
        num_upscales: How often height and width of the image tokens are doubled: twice from
            patches of 16 to mask features of stride 4.

    Attributes:
        masking: For each of the last blocks, the share of the queries that look only where their
            mask is. :class:`MaskAnnealingHook` lowers it; until then it is 1.
        tasks: What can be read out of its predictions.
        class_parameters: Parts whose shapes depend on the number of classes.
    """

    tasks = ('semantic', 'instance', 'panoptic')
    class_parameters: tuple[str, ...] = ('class_embed',)

    def __init__(self, *, num_classes: int, in_channels: Sequence[int], num_queries: int = 200,
                 num_upscales: int = 2) -> None:
        super().__init__()
        channels = in_channels[-1]
        self.query_feat = nn.Embedding(num_queries, channels)
        self.class_embed = nn.Linear(channels, num_classes + 1)
        self.mask_embed = nn.Sequential(
            nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, channels), nn.GELU(),
            nn.Linear(channels, channels))
        self.upscale = nn.Sequential(*(ScaleBlock(channels) for _ in range(num_upscales)))
        self.masking: tuple[float, ...] | None = None

    def forward(self, features: OpenFeatures, targets: TargetBatch | None = None
                ) -> MaskPrediction:
        """The prediction after the last block; with targets also those before each block."""
        tokens = self.join(features)
        earlier = []
        for index, block in enumerate(features.blocks):
            visible = None
            if targets is not None:
                earlier.append(self.predict(tokens, features))
                visible = self.visible(earlier[-1], index, features) if self.training else None
            tokens = block(tokens, visible)
        last = self.predict(tokens, features)
        return last if targets is None else StagedPrediction(
            last.class_logits, last.mask_embeddings, last.mask_features, earlier=tuple(earlier))

    def join(self, features: OpenFeatures) -> Tensor:
        """Queries, prefix and image tokens, (B, T, C)."""
        image = features.maps[-1].flatten(2).transpose(1, 2)
        queries = self.query_feat.weight.to(image.dtype).expand(len(image), -1, -1)
        return torch.cat([queries, features.prefix, image], dim=1)

    def predict(self, tokens: Tensor, features: OpenFeatures) -> MaskPrediction:
        """Classes and masks of tokens (B, T, C), L = 1."""
        grid = features.maps[-1].shape[-2:]
        normed = features.norm(tokens)
        queries, image = normed[:, :self.query_feat.num_embeddings], normed[:, -grid.numel():]
        mask_features = self.upscale(image.transpose(1, 2).unflatten(2, grid))
        return MaskPrediction(self.class_embed(queries)[None], self.mask_embed(queries)[None],
                              mask_features)

    @torch.no_grad()
    def visible(self, prediction: MaskPrediction, index: int, features: OpenFeatures
                ) -> Tensor | None:
        """Which token (row) may look at which in a block, (B, 1, T, T) bool; None for all.

        Queries that are drawn see of the patches only those inside their mask, none where it is
        empty. Nobody is kept from anything else.
        """
        share = 1.0 if self.masking is None else self.masking[index]
        if share <= 0:
            return None
        inside = inside_masks(prediction, tuple(features.maps[-1].shape[-2:]))
        drawn = torch.rand(inside.shape[:2], device=inside.device) < share
        inside |= ~drawn[..., None]
        batch, queries, patches = inside.shape
        total = queries + features.prefix.shape[1] + patches
        visible = inside.new_ones((batch, 1, total, total))
        visible[:, 0, :queries, -patches:] = inside
        return visible


class ScaleBlock(nn.Module):
    """Twice the height and width: (B, C, h, w) -> (B, C, 2 h, 2 w) (EoMT, section 3.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = LayerNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.depthwise(F.gelu(self.up(x))))


def inside_masks(prediction: MaskPrediction, grid: tuple[int, int]) -> Tensor:
    """Which patches lie in the mask of each query, (B, Q, h * w) bool.

    Mask features are resized instead of masks, which is the same: resizing is linear.
    """
    with torch.autocast(prediction.mask_features.device.type, enabled=False):
        small = F.interpolate(prediction.mask_features.float(), grid, mode='bilinear')
        return prediction.mask_embeddings[-1].float() @ small.flatten(2) > 0
