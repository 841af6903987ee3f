"""Panoptic segmentation from queries.

Shapes: Q queries, K classes, S kept queries, (H, W) output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from mmengine.structures import PixelData
from torch import Tensor

from unimask.models.post_processors.readout import MaskReadout
from unimask.registry import MODELS
from unimask.structures import Taxonomy
from unimask.structures.panoptic import segment_entry


class _Areas(NamedTuple):
    """Pixels of kept queries: won, with probability >= 1/2, both; lists of S."""

    won: list[int]
    likely: list[int]
    both: list[int]


@MODELS.register_module()
@dataclass(frozen=True, kw_only=True)
class PanopticPostProcessor:
    """Every pixel goes to the query with the best score times mask (MaskFormer, section 3.3).

    Attributes:
        object_threshold: Queries need a higher class score.
        overlap_threshold: Queries that win less than this share of their own mask are dropped.
        duplicate_iou: Of queries whose masks overlap more than this, whatever their classes, the
            one with the best score competes. Two queries that found the same object share its
            pixels between them, and neither has enough. 1 lets all compete, as published.
        inside_mask: Whether a segment holds only pixels with mask probability of at least 1/2
            (Mask2Former) or everything that its query won (MaskFormer).
    """

    field: ClassVar[str] = 'pred_panoptic_seg'
    object_threshold: float = 0.8
    overlap_threshold: float = 0.8
    duplicate_iou: float = 1.0
    inside_mask: bool = True

    def __call__(self, readout: MaskReadout, taxonomy: Taxonomy) -> PixelData:
        """The map and its segments.

        Returns:
            ``sem_seg`` (1, H, W) int64: class + index * 1000 with things counted from 1; K for
            void. Metainfo ``segments_info``: dicts with ``id``, ``category``, ``score`` and
            ``area`` (pixels).
        """
        scores, labels = readout.class_logits.softmax(-1).max(-1)
        kept = ((labels != readout.num_classes) & (scores > self.object_threshold)).nonzero()[:, 0]
        if self.duplicate_iou < 1:
            kept = kept[_distinct(readout.maps(kept) >= 0, scores[kept], self.duplicate_iou)]
        if len(kept) == 0:
            void = torch.full(readout.plan.output, readout.num_classes, device=labels.device)
            return _packed(void, [])
        winner, areas = self._compete(readout, kept, scores[kept])
        ids, segments = self._segments(
            labels[kept].tolist(), scores[kept].tolist(), areas, taxonomy)
        table = torch.tensor([*ids, taxonomy.num_classes], device=winner.device)
        return _packed(table[winner.long()], segments)

    def _compete(self, readout: MaskReadout, kept: Tensor, scores: Tensor) -> tuple[Tensor, _Areas]:
        """Winner of every pixel (H, W) int16, S for none, and the areas."""
        count = len(kept)
        winner = torch.empty(readout.plan.output, dtype=torch.int16, device=kept.device)
        areas = torch.zeros((3, count), dtype=torch.int64, device=kept.device)
        for tile, logits in readout.tiles(kept):
            best = (logits.sigmoid() * scores[:, None, None]).argmax(0)
            likely = logits.gather(0, best[None])[0] >= 0
            areas[0] += torch.bincount(best.flatten(), minlength=count)
            areas[1] += (logits >= 0).sum((1, 2))
            areas[2] += torch.bincount(torch.where(likely, best, count).flatten(),
                                       minlength=count + 1)[:count]
            winner[tile] = torch.where(likely, best, count) if self.inside_mask else best
        return winner, _Areas(*areas.tolist())

    def _segments(self, labels: list[int], scores: list[float], areas: _Areas,
                  taxonomy: Taxonomy) -> tuple[list[int], list[dict]]:
        """Panoptic id of every kept query (void if dropped), and the segments."""
        final_areas = areas.both if self.inside_mask else areas.won
        ids, segments, stuff = [], [], {}
        things = 0
        for label, score, won, likely, area in zip(
                labels, scores, areas.won, areas.likely, final_areas, strict=True):
            if min(won, likely, area) == 0 or won / likely < self.overlap_threshold:
                ids.append(taxonomy.num_classes)
                continue
            if label in stuff:
                stuff[label]['area'] += area
                ids.append(label)
                continue
            thing = taxonomy.is_thing(label)
            things += thing
            segments.append(
                segment_entry(label, number=things if thing else 0, score=score, area=area))
            ids.append(segments[-1]['id'])
            if not thing:
                stuff[label] = segments[-1]
        return ids, segments


def _distinct(masks: Tensor, scores: Tensor, limit: float) -> list[int]:
    """Rows of masks (S, h, w) that overlap none of a better score by more than ``limit``."""
    flat = masks.flatten(1).float()
    shared = flat @ flat.T
    areas = shared.diagonal()
    union = areas[:, None] + areas - shared
    close = (shared > limit * union).tolist()
    chosen: list[int] = []
    for row in scores.argsort(descending=True, stable=True).tolist():
        if not any(close[row][other] for other in chosen):
            chosen.append(row)
    return sorted(chosen)


def _packed(ids: Tensor, segments: list[dict]) -> PixelData:
    result = PixelData(sem_seg=ids[None])
    result.set_metainfo(dict(segments_info=segments))
    return result
