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
        labels = _Whole(readout.plan.output)
        shares = _Whole(readout.plan.output)
        for rows, scores in readout.class_tiles(resize_scores=self.resize_scores):
            labels.put(rows, scores.argmax(0))
            if self.confidence:
                shares.put(rows, _share(readout.comparable(scores)))
        found = dict(confidence=shares.map[None]) if self.confidence else {}
        return PixelData(sem_seg=labels.map[None], **found)

    def scores(self, readout: Readout) -> Tensor:
        """Class scores of every pixel, (K, H, W), which may be averaged over views."""
        whole = _Whole(readout.plan.output)
        for rows, scores in readout.class_tiles(resize_scores=self.resize_scores):
            whole.put(rows, readout.comparable(scores))
        return whole.map


class _Whole:
    """A map (..., H, W) put together from bands of rows.

    It is made before the second band: bands kept until the end lie between the larger tensors that
    come and go, whose gaps then fit no other tensor, and the process grows by gigabytes.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self.map: Tensor | None = None

    def put(self, rows: slice, band: Tensor) -> None:
        """Fill in the rows, (..., rows, W)."""
        if self.map is None:
            self.map = band.new_empty((*band.shape[:-2], *self._size))
        self.map[..., rows, :] = band


def _share(scores: Tensor) -> Tensor:
    """Share of the best class, (rows, W), of scores (K, rows, W) that are not negative."""
    return scores.amax(0) / scores.sum(0).clamp(min=torch.finfo(scores.dtype).tiny)
