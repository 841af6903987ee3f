"""Semantic segmentation from queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from unimask.models.post_processors.readout import Readout
from unimask.registry import MODELS


@MODELS.register_module()
@dataclass(frozen=True, kw_only=True)
class SemanticPostProcessor:
    """Score of a class: sum over queries of its probability times the mask (MaskFormer, 3.3).

    Attributes:
        resize_scores: Resize scores rather than mask logits to the output, as published models
            do when they predict nothing but semantic maps; None lets the segmentor decide so.
    """

    resize_scores: bool | None = None

    def __call__(self, readout: Readout, *, alone: bool = False) -> Tensor:
        """Label of every pixel, (H, W) int64. ``alone``: no other task is on."""
        labels = [scores.argmax(0) for _, scores in self._tiles(readout, alone)]
        return torch.cat(labels)

    def scores(self, readout: Readout, *, alone: bool = False) -> Tensor:
        """Class scores of every pixel, (K, H, W); not normalised."""
        return torch.cat([scores for _, scores in self._tiles(readout, alone)], dim=1)

    def _tiles(self, readout: Readout, alone: bool) -> Iterator[tuple[slice, Tensor]]:
        class_scores = readout.class_logits.softmax(-1)[:, :-1]
        if alone if self.resize_scores is None else self.resize_scores:
            yield from readout.score_tiles(class_scores)
            return
        for tile, logits in readout.tiles():
            flat = class_scores.T @ logits.sigmoid().flatten(1)
            yield tile, flat.unflatten(1, logits.shape[1:])
