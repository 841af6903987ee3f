"""Panoptic segmentation from queries.

Shapes: Q queries, K classes, S queries or groups of queries that compete, (H, W) output.
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
    """Pixels of competitors: won, with probability >= 1/2, both; lists of S."""

    won: list[int]
    likely: list[int]
    both: list[int]


class _Competitors(NamedTuple):
    """What competes for pixels: S queries, or S groups of N queries.

    Attributes:
        queries: (N,), rows of the prediction.
        shares: (S, N), the part of every query in a group's mask; rows add up to 1. None where
            every query competes for itself, N = S.
        scores: (S,).
        labels: (S,).
    """

    queries: Tensor
    shares: Tensor | None
    scores: Tensor
    labels: Tensor

    def masks(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Mask logits (N, h, w) -> probabilities and whether they are at least 1/2, (S, h, w)."""
        probabilities = logits.sigmoid()
        if self.shares is None:
            return probabilities, logits >= 0
        mixed = (self.shares @ probabilities.flatten(1)).unflatten(1, logits.shape[1:])
        return mixed, mixed >= 0.5


# Queries surer than this have a say in a group's class and mask, even if each of them is far from
# sure that it is the one that found the object.
_MIN_VOTE = 0.05


@MODELS.register_module()
@dataclass(frozen=True, kw_only=True)
class PanopticPostProcessor:
    """Every pixel goes to the query with the best score times mask (MaskFormer, section 3.3).

    Attributes:
        object_threshold: Queries need a higher class score.
        overlap_threshold: Queries that win less than this share of their own mask are dropped.
        duplicate_iou: Queries whose masks overlap more than this, whatever their classes, compete
            as one: with the sum of their class probabilities (at most 1), each times the mean
            probability inside the mask, and the mean of their masks, in which surer ones count
            more. After a short training several queries find the same object, none of them surely;
            alone, each wins a part of its pixels and none keeps enough. 1 lets every query compete
            for itself, as published.
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
        competitors = self._united(readout) if self.duplicate_iou < 1 else self._single(readout)
        if len(competitors.labels) == 0:
            void = torch.full(readout.plan.output, readout.num_classes,
                              device=readout.class_logits.device)
            return _packed(void, [])
        winner, areas = self._compete(readout, competitors)
        ids, segments = self._segments(competitors, areas, taxonomy)
        table = torch.tensor([*ids, taxonomy.num_classes], device=winner.device)
        return _packed(table[winner.long()], segments)

    def _single(self, readout: MaskReadout) -> _Competitors:
        """Queries that are sure enough of a class, each for itself."""
        scores, labels = readout.class_logits.softmax(-1).max(-1)
        kept = ((labels != readout.num_classes) & (scores > self.object_threshold)).nonzero()[:, 0]
        return _Competitors(kept, None, scores[kept], labels[kept])

    def _united(self, readout: MaskReadout) -> _Competitors:
        """Groups of queries that found the same object, if together they are sure enough."""
        votes = readout.class_logits.softmax(-1)[:, :-1]
        queries = (votes.amax(-1) > _MIN_VOTE).nonzero()[:, 0]
        maps = readout.maps(queries)
        votes = votes[queries] * _sureness(maps)[:, None]
        members = _groups(maps >= 0, votes.amax(-1), self.duplicate_iou)
        scores, labels = (members @ votes).max(-1)
        kept = scores > self.object_threshold
        shares = members[kept] * votes.amax(-1)
        used = shares.any(0)
        return _Competitors(queries[used], (shares / shares.sum(1, keepdim=True))[:, used],
                            scores[kept].clamp(max=1), labels[kept])

    def _compete(self, readout: MaskReadout, competitors: _Competitors) -> tuple[Tensor, _Areas]:
        """Winner of every pixel (H, W) int16, S for none, and the areas."""
        scores = competitors.scores
        count = len(scores)
        winner = torch.empty(readout.plan.output, dtype=torch.int16, device=scores.device)
        areas = torch.zeros((3, count), dtype=torch.int64, device=scores.device)
        for tile, logits in readout.tiles(competitors.queries):
            masks, inside = competitors.masks(logits)
            best = (masks * scores[:, None, None]).argmax(0)
            likely = inside.gather(0, best[None])[0]
            areas[0] += torch.bincount(best.flatten(), minlength=count)
            areas[1] += inside.sum((1, 2))
            areas[2] += torch.bincount(torch.where(likely, best, count).flatten(),
                                       minlength=count + 1)[:count]
            winner[tile] = torch.where(likely, best, count) if self.inside_mask else best
        return winner, _Areas(*areas.tolist())

    def _segments(self, competitors: _Competitors, areas: _Areas, taxonomy: Taxonomy
                  ) -> tuple[list[int], list[dict]]:
        """Panoptic id of every competitor (void if dropped), and the segments."""
        labels, scores = competitors.labels.tolist(), competitors.scores.tolist()
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


def _sureness(maps: Tensor) -> Tensor:
    """(N,): mean probability inside masks of logits (N, h, w), as Mask2Former rates instances."""
    inside = maps >= 0
    return (maps.sigmoid() * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)


def _groups(masks: Tensor, scores: Tensor, limit: float) -> Tensor:
    """Which of the masks (N, h, w) overlap by more than ``limit``, (S, N) of 0 and 1.

    The surest mask takes those that overlap it into its group, then the surest of the rest does.
    """
    flat = masks.flatten(1).float()
    shared = flat @ flat.T
    areas = shared.diagonal()
    close = (shared > limit * (areas[:, None] + areas - shared)).tolist()
    left = scores.argsort(descending=True, stable=True).tolist()
    groups = []
    while left:
        first = left[0]
        groups.append([row for row in left if row == first or close[first][row]])
        left = [row for row in left if row != first and not close[first][row]]
    members = flat.new_zeros(len(groups), len(masks))
    for number, group in enumerate(groups):
        members[number, group] = 1
    return members


def _packed(ids: Tensor, segments: list[dict]) -> PixelData:
    result = PixelData(sem_seg=ids[None])
    result.set_metainfo(dict(segments_info=segments))
    return result
