"""Bipartite matching of queries and segments.

Shapes: L predictions, B batch, Q queries, K classes, M segments of all images, R matched pairs of
all images (min(Q, N) of each), C mask dimension, P points.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from unimask.models.losses.costs import MatchInputs
from unimask.ops import assign, sample_features, uniform_points
from unimask.registry import TASK_UTILS, build
from unimask.structures import MaskPrediction, Matches, TargetBatch


@TASK_UTILS.register_module()
class HungarianMatcher:
    """Cheapest assignment under a sum of costs, for all predictions at once.

    All costs are computed on the device and travel to the host in one copy.

    Args:
        costs: Configs or objects; each maps :class:`MatchInputs` to (R, N).
        num_points: Random points per image at which masks are compared, shared by its
            predictions (Mask2Former, section 3.3). None compares all pixels of the mask
            features, with the ground truth resized to nearest (MaskFormer).
    """

    def __init__(self, *, costs: Sequence, num_points: int | None) -> None:
        self.costs = [build(TASK_UTILS, cost) for cost in costs]
        self.num_points = num_points

    @torch.no_grad()
    def __call__(self, prediction: MaskPrediction, targets: TargetBatch) -> Matches:
        _warn_if_crowded(max(targets.counts, default=0), prediction.class_logits.shape[2])
        device = prediction.class_logits.device
        with torch.autocast(device.type, enabled=False):
            features, masks = self.compared(prediction.mask_features.float(), targets)
            costs = [
                self.image_costs(prediction, targets, features, masks, image)
                for image in range(len(targets.counts))]
        host = to_host(torch.cat([cost.flatten() for cost in costs]))
        queries, segments, counts = _assign_all(host, [tuple(cost.shape) for cost in costs])
        pairs = torch.from_numpy(np.stack([queries, segments])).to(device, non_blocking=True)
        images = torch.from_numpy(np.repeat(np.arange(len(counts)), counts)).to(
            device, non_blocking=True)
        return Matches(pairs[0], pairs[1], images, tuple(counts))

    def compared(self, features: Tensor, targets: TargetBatch) -> tuple[Tensor, Tensor]:
        """Mask features (B, C, P) and ground truth (M, P) where masks are compared."""
        if self.num_points is None:
            return features.flatten(2), targets.resize_nearest(features.shape[-2:]).flatten(1)
        points = uniform_points((len(features),), self.num_points, features.device)
        return sample_features(features, points), targets.sample_shared(points)

    def image_costs(self, prediction: MaskPrediction, targets: TargetBatch, features: Tensor,
                    masks: Tensor, image: int) -> Tensor:
        """(L, Q, N) of one image; the sum of all costs."""
        first = sum(targets.counts[:image])
        own = slice(first, first + targets.counts[image])
        embeddings = prediction.mask_embeddings[:, image].float()
        size = embeddings.shape[:2]
        if targets.counts[image] == 0:
            return embeddings.new_zeros((*size, 0))
        class_logits = prediction.class_logits[:, image].flatten(0, 1).float()
        embeddings = embeddings.flatten(0, 1)
        rows = _rows_at_once(features)
        parts = []
        for classes, queries in zip(class_logits.split(rows), embeddings.split(rows),
                                    strict=True):
            inputs = MatchInputs(
                class_logits=classes, labels=targets.labels[own],
                mask_logits=queries @ features[image], masks=masks[own])
            parts.append(sum(cost(inputs) for cost in self.costs))
        return torch.cat(parts).unflatten(0, size)


@lru_cache(maxsize=16)
def _warn_if_crowded(segments: int, queries: int) -> None:
    """Say, once for every number, that an image has more segments than there are queries."""
    if segments > queries:
        print_log(
            f'an image has {segments} segments, but the model only {queries} queries: the segments '
            'that fit worst are not learned. Raise model.head.num_queries.',
            logger='current', level=logging.WARNING)


def to_host(values: Tensor) -> np.ndarray:
    """The one place of a training step where the host waits for the device."""
    return values.cpu().numpy()


def _rows_at_once(features: Tensor) -> int:
    """How many queries are compared together. The mask logits of all predictions are many: on
    the CPU they come in pieces that stay in its caches, on the GPU few launches count for more."""
    limit = 2**21 if features.device.type == 'cpu' else 2**26
    return max(1, limit // features.shape[-1])


def _assign_all(flat: np.ndarray, shapes: Sequence[tuple[int, int, int]]
                ) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Assignments of all images: (L, R) queries, (L, R) segments, pairs per image."""
    queries, segments, start, first = [], [], 0, 0
    for shape in shapes:
        size = int(np.prod(shape))
        pairs = [assign(cost) for cost in flat[start:start + size].reshape(shape)]
        queries.append(np.stack([rows for rows, _ in pairs]))
        segments.append(np.stack([columns for _, columns in pairs]) + first)
        start, first = start + size, first + shape[2]
    counts = [rows.shape[1] for rows in queries]
    return np.concatenate(queries, 1), np.concatenate(segments, 1), counts
