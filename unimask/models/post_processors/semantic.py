"""Semantic segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from mmengine.structures import PixelData
from torch import Tensor

from unimask.models.post_processors.readout import Readout
from unimask.registry import MODELS
from unimask.structures import Taxonomy


@MODELS.register_module()
@dataclass(frozen=True, kw_only=True)
class SemanticPostProcessor:
    """Every pixel gets the class of the highest score (MaskFormer, section 3.3).

    Attributes:
        resize_scores: Resize scores rather than mask logits to the output, as published models
            do when they predict nothing but semantic maps. The segmentor fills it in.
        confidence: Also say how sure each pixel is: the share of its class in the scores of all.
    """

    field: ClassVar[str] = 'pred_sem_seg'
    resize_scores: bool = False
    confidence: bool = False

    def __call__(self, readout: Readout, taxonomy: Taxonomy) -> PixelData:
        """``sem_seg`` (1, H, W) int64, and ``confidence`` (1, H, W) if it is asked for."""
        tiles = readout.class_tiles(resize_scores=self.resize_scores)
        if not self.confidence:
            return PixelData(sem_seg=torch.cat([scores.argmax(0) for _, scores in tiles])[None])
        parts = [(scores.argmax(0), _share(readout.comparable(scores))) for _, scores in tiles]
        labels, shares = (torch.cat(each)[None] for each in zip(*parts, strict=True))
        return PixelData(sem_seg=labels, confidence=shares)

    def scores(self, readout: Readout) -> Tensor:
        """Class scores of every pixel, (K, H, W), which may be averaged over views."""
        tiles = readout.class_tiles(resize_scores=self.resize_scores)
        return torch.cat([readout.comparable(scores) for _, scores in tiles], dim=1)


def _share(scores: Tensor) -> Tensor:
    """Share of the best class, (rows, W), of scores (K, rows, W) that are not negative."""
    return scores.amax(0) / scores.sum(0).clamp(min=torch.finfo(scores.dtype).tiny)
