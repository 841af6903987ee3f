"""How much queries change from one prediction to the next (MP-Former, section 3.1).

Shapes: L predictions, B batch, Q queries, C mask dimension, N segments of an image, R matched
pairs of an image (min(Q, N)), (h, w) mask features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unimask.structures import MaskPrediction, Matches

__all__ = ['Consistency', 'LayerConsistency']


@dataclass(frozen=True)
class Consistency:
    """What was measured; step i, from 1 on, leads from prediction i - 1 to prediction i.

    Attributes:
        iou: (L - 1,) mean intersection over union, 0 to 1; NaN for a step without a pair.
        utilisation: (L - 1,) share of pairs, 0 to 1; NaN without a pair.
        pairs: Matched pairs of one prediction, summed over the images.
        images: How many images were looked at, those without segments included.
    """

    iou: tuple[float, ...]
    utilisation: tuple[float, ...]
    pairs: int
    images: int

    @property
    def mean_iou(self) -> float:
        """Mean over the steps; NaN if there is none."""
        return _mean(self.iou)

    @property
    def mean_utilisation(self) -> float:
        """Mean over the steps; NaN if there is none."""
        return _mean(self.utilisation)


class LayerConsistency:
    """Sums the two instruments of MP-Former over images.

    Every prediction is matched with the segments by itself. The pairs of step i are those of the
    *later* prediction i, hence one a segment (one a query where an image has more segments than
    there are queries), and

    - the *IoU* of a pair is that of its query's masks in the predictions i - 1 and i, both
      binarised at 0.5, at the size of the mask features and inside the image, whatever the query
      was matched with before. Where both masks are empty there is nothing to compare: such a pair
      counts in the utilisation alone;
    - a pair is *utilised again* if the same query was matched with the same segment in prediction
      i - 1. The utilisation is the share of such pairs; one minus it is DN-DETR's instability.

    Means are over all pairs of all images, so that an image with more segments weighs more.
    """

    def __init__(self) -> None:
        self._overlap = torch.zeros(0, dtype=torch.float64)
        self._compared = torch.zeros(0, dtype=torch.int64)
        self._kept = torch.zeros(0, dtype=torch.int64)
        self._pairs = 0
        self._images = 0

    @torch.no_grad()
    def update(self, prediction: MaskPrediction, matches: Matches, *,
               sizes: Sequence[tuple[int, int]] | None = None) -> None:
        """Add the images of a batch.

        Args:
            prediction: Of the matching queries.
            matches: Pairs of every prediction; within one, images in order.
            sizes: Rows and columns of each image's mask features that lie inside the image; None
                for all of them.

        Raises:
            ValueError: If the number of predictions is not that of earlier batches.
        """
        self._expect(prediction.num_predictions - 1)
        sizes = sizes or [tuple(prediction.mask_features.shape[-2:])] * len(matches.counts)
        queries = matches.queries.split(matches.counts, dim=1)
        segments = matches.segments.split(matches.counts, dim=1)
        for image, count in enumerate(matches.counts):
            self._images += 1
            self._pairs += count
            if count:
                rows, columns = sizes[image]
                overlap = _overlaps(prediction.mask_embeddings[:, image].float(), queries[image],
                                    prediction.mask_features[image, :, :rows, :columns].float())
                self._overlap += overlap.nan_to_num(nan=0.0).double().sum(1).cpu()
                self._compared += (~overlap.isnan()).sum(1).cpu()
                self._kept += _kept(queries[image], segments[image]).sum(1).cpu()

    def merge(self, other: LayerConsistency) -> None:
        """Add what another one has seen, in another process for instance."""
        if other._images:
            self._expect(len(other._kept))
            self._overlap += other._overlap
            self._compared += other._compared
            self._kept += other._kept
            self._pairs += other._pairs
            self._images += other._images

    def result(self) -> Consistency:
        """The means so far."""
        return Consistency(
            iou=tuple(_ratio(total, count) for total, count in zip(
                self._overlap.tolist(), self._compared.tolist(), strict=True)),
            utilisation=tuple(_ratio(kept, self._pairs) for kept in self._kept.tolist()),
            pairs=self._pairs, images=self._images)

    def _expect(self, steps: int) -> None:
        """Make room for the steps of the first batch; later ones have as many."""
        if self._images == 0:
            self._overlap = torch.zeros(steps, dtype=torch.float64)
            self._compared = torch.zeros(steps, dtype=torch.int64)
            self._kept = torch.zeros(steps, dtype=torch.int64)
        elif len(self._kept) != steps:
            raise ValueError(f'{steps + 1} predictions cannot be added to images with '
                             f'{len(self._kept) + 1}: measure one model at a time.')


def _overlaps(embeddings: Tensor, queries: Tensor, features: Tensor) -> Tensor:
    """IoU of the masks of matched queries before and after every step; NaN of two empty masks.

    Args:
        embeddings: (L, Q, C).
        queries: (L, R), the matched queries.
        features: (C, h, w).

    Returns:
        (L - 1, R).
    """
    chosen = queries[1:, :, None].expand(-1, -1, embeddings.shape[-1])
    # A probability of 0.5 is a logit of 0.
    before, after = (part.gather(1, chosen) @ features.flatten(1) >= 0
                     for part in (embeddings[:-1], embeddings[1:]))
    return (before & after).sum(-1) / (before | after).sum(-1)


def _kept(queries: Tensor, segments: Tensor) -> Tensor:
    """Whether a pair of a prediction was a pair of the one before: (L, R) each -> (L - 1, R)."""
    same = ((queries[1:, :, None] == queries[:-1, None, :])
            & (segments[1:, :, None] == segments[:-1, None, :]))
    return same.any(-1)


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else math.nan


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
