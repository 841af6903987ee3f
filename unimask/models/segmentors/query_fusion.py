"""Queries of several views of an image made one set of queries.

Shapes: Q queries of a view, N fused queries, K classes, (h, w) grid that all views share.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from unimask.models.post_processors import MaskReadout
from unimask.ops.assignment import assign
from unimask.ops.resize import ResizePlan

__all__ = ['QueryFusion']

_LEAST_IOU = 0.5  # masks that overlap less are not the same segment
_LEAST_SHARE = 1e-4  # keeps logits of averaged probabilities finite


class QueryFusion:
    """Averages the queries of views that see the same segment.

    The first view begins. A query of a further view belongs to the fused query that it is matched
    with, one to one, by mask IoU times the agreement of their class probabilities (Bhattacharyya
    coefficient), if the IoU is at least 1/2; else it is a new one. In the end masks are averaged
    over the views that saw the segment, class probabilities over all views: where a view did not
    see it, it voted for no object.

    Args:
        views: How many views there will be.
        limit: The largest number of fused queries; the best ones stay.
    """

    def __init__(self, *, views: int, limit: int) -> None:
        self.views = views
        self.limit = limit
        self._classes: Tensor | None = None  # (N, K + 1), summed
        self._masks: Tensor | None = None  # (N, h, w), summed
        self._count: Tensor | None = None  # (N,) views that saw it

    def add(self, readout: MaskReadout, *, mirrored: bool) -> None:
        """Take a view whose output size is the grid.

        Args:
            readout: Of the view.
            mirrored: Whether the view is a mirror image, whose masks are to be turned back.
        """
        classes = readout.class_logits.softmax(-1)
        masks = torch.cat([logits.sigmoid() for _, logits in readout.tiles()], dim=1)
        if mirrored:
            masks = masks.flip(-1)
        if self._classes is None:
            self._classes, self._masks = classes, masks
            self._count = classes.new_ones(len(classes))
            return
        fused, own = self._matches(classes, masks)
        self._classes[fused] += classes[own]
        self._masks[fused] += masks[own]
        self._count[fused] += 1
        new = torch.ones(len(classes), dtype=torch.bool, device=classes.device)
        new[own] = False
        self._append(classes[new], masks[new])

    def readout(self, output: tuple[int, int]) -> MaskReadout:
        """What post-processors read, at an output size.

        A query's mask is the product of its embedding with the features: here the features are
        the fused masks themselves, and every embedding picks one.
        """
        masks = (self._masks / self._count[:, None, None]).clamp(_LEAST_SHARE, 1 - _LEAST_SHARE)
        classes = self._classes / self.views
        classes[:, -1] = 1 - classes[:, :-1].sum(-1)
        grid = tuple(masks.shape[-2:])
        return MaskReadout(
            class_logits=classes.clamp(min=1e-12).log(),
            embeddings=torch.eye(len(masks), device=masks.device), features=masks.logit(),
            plan=ResizePlan(grid, grid, grid, output))

    def _matches(self, classes: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of matched fused queries and queries of the view."""
        iou = _iou(self._masks / self._count[:, None, None] >= 0.5, masks >= 0.5)
        agreement = (self._classes / self._count[:, None]).sqrt() @ classes.sqrt().T
        fused, own = map(torch.as_tensor, assign(-(iou * agreement).cpu().numpy()))
        fused, own = fused.to(iou.device), own.to(iou.device)
        same = iou[fused, own] >= _LEAST_IOU
        return fused[same], own[same]

    def _append(self, classes: Tensor, masks: Tensor) -> None:
        """Add queries, then keep the best."""
        parts = zip(self._parts(), (classes, masks, classes.new_ones(len(classes))), strict=True)
        parts = [torch.cat(pair) for pair in parts]
        if len(parts[0]) > self.limit:
            best = parts[0][:, :-1].amax(-1).topk(self.limit).indices.sort().values
            parts = [part[best] for part in parts]
        self._classes, self._masks, self._count = parts

    def _parts(self) -> Iterator[Tensor]:
        yield from (self._classes, self._masks, self._count)


def _iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of masks (N, h, w) and (Q, h, w) bool: (N, Q); 0 for empty ones."""
    first, second = first.flatten(1).float(), second.flatten(1).float()
    both = first @ second.T
    return both / (first.sum(1)[:, None] + second.sum(1) - both).clamp(min=1)
