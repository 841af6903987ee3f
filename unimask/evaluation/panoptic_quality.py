"""Panoptic quality from id maps, by the rules of the official panopticapi.

Kirillov et al., "Panoptic Segmentation", CVPR 2019, with the treatment of void and crowd regions
that the COCO evaluation server uses.

Shapes: h, w pixels; N truth segments; M predicted segments; K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unimask.errors import UserError
from unimask.structures.panoptic import dense_ids

# Columns of the statistics.
_LABEL, _TP, _FP, _FN, _IOU = range(5)


@dataclass(frozen=True)
class SegmentMap:
    """One image's segments: a map of ids and what each id stands for.

    Attributes:
        ids: (h, w) integers.
        segment_ids: (N,) the ids that are segments.
        labels: (N,) their classes.
        crowd: (N,) bool, whether a segment is a region of several objects.
        void: The id of pixels that belong to no segment.
    """

    ids: Tensor
    segment_ids: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    void: int


@dataclass(frozen=True)
class _Overlaps:
    """Pixel counts: ``joint`` (N, M), areas (N,) and (M,), ``void`` (M,) on void truth pixels."""

    joint: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    void: np.ndarray


def panoptic_statistics(truth: SegmentMap, prediction: SegmentMap) -> np.ndarray:
    """Compare the segments of one image.

    Args:
        truth: The ground truth; its crowd segments are ignored.
        prediction: The prediction; a listed segment without pixels does not count.

    Returns:
        (C, 5) float64, one row per class that occurs: label, true positives, false positives,
        false negatives, sum of the true positives' IoU.

    Raises:
        UserError: If the sizes differ or a map has an id that is neither void nor a segment.
    """
    if truth.ids.shape != prediction.ids.shape:
        raise UserError(
            f'the predicted map has the size {tuple(prediction.ids.shape)}, but the ground truth '
            f'{tuple(truth.ids.shape)}; both must have the original size of the image.')
    overlaps = _overlaps(truth, prediction)
    iou = _match(truth, prediction, overlaps)
    matched_truth, matched = iou.any(axis=1), iou.any(axis=0)
    missed = ~truth.crowd & ~matched_truth
    ignored = overlaps.void + _on_own_crowd(truth, prediction, overlaps)
    # "More than half" is decided in integers; a segment without pixels is no false positive.
    wrong = ~matched & (2 * ignored <= overlaps.prediction) & (overlaps.prediction > 0)
    return _per_class(
        tp=truth.labels[matched_truth], fp=prediction.labels[wrong], fn=truth.labels[missed],
        iou=iou.sum(axis=1)[matched_truth])


def panoptic_quality(statistics: Sequence[np.ndarray], things: Sequence[bool]) -> dict:
    """Sum up the images.

    The sums of IoU are exactly rounded, so the order of the images does not matter.

    Args:
        statistics: What :func:`panoptic_statistics` returned for each image.
        things: For each class, whether it is a thing.

    Returns:
        ``per_class`` (K, 3) with PQ, SQ, RQ as fractions, NaN rows for classes without any
        segment; ``all``, ``things``, ``stuff``: their means, three numbers each (NaN if empty).
    """
    rows = np.concatenate([np.zeros((0, 5)), *statistics])
    per_class = np.full((len(things), 3), np.nan)
    for label in np.unique(rows[:, _LABEL]).astype(int):
        per_class[label] = _class_quality(rows[rows[:, _LABEL] == label])
    is_thing = np.asarray(things, dtype=bool)
    return dict(
        per_class=per_class, all=_mean(per_class), things=_mean(per_class[is_thing]),
        stuff=_mean(per_class[~is_thing]))


def image_quality(statistics: Sequence[np.ndarray]) -> np.ndarray:
    """PQ of every image by itself, the segments of all its classes taken together.

    Args:
        statistics: What :func:`panoptic_statistics` returned for each image.

    Returns:
        One fraction per image, NaN where there is no segment.
    """
    sums = np.array([rows[:, _TP:].sum(axis=0) for rows in statistics]).reshape(-1, 4)
    tp, fp, fn, iou = sums.T
    weight = tp + 0.5 * fp + 0.5 * fn
    return np.divide(iou, weight, where=weight > 0, out=np.full(len(sums), np.nan))


def true_segments(statistics: Sequence[np.ndarray], num_classes: int) -> np.ndarray:
    """(K,) segments of each class in the truth of all images."""
    counts = np.zeros(num_classes, dtype=np.int64)
    for rows in statistics:
        found = rows[:, _TP] + rows[:, _FN]
        np.add.at(counts, rows[:, _LABEL].astype(int), found.astype(np.int64))
    return counts


def _class_quality(rows: np.ndarray) -> tuple[float, float, float]:
    tp, fp, fn = rows[:, _TP:_FN + 1].sum(axis=0)
    iou = math.fsum(rows[:, _IOU])
    weight = tp + 0.5 * fp + 0.5 * fn
    return iou / weight, iou / tp if tp else 0.0, tp / weight


def _mean(rows: np.ndarray) -> np.ndarray:
    seen = rows[~np.isnan(rows[:, 0])]
    return seen.mean(axis=0) if len(seen) else np.full(3, np.nan)


def _match(truth: SegmentMap, prediction: SegmentMap, overlaps: _Overlaps) -> np.ndarray:
    """(N, M) IoU of the matched pairs, 0 elsewhere.

    A pair matches above an IoU of 0.5, which can hold for one partner only. Void pixels of the
    truth are taken out of the predicted segment.
    """
    union = (overlaps.truth[:, None] + (overlaps.prediction - overlaps.void)[None]
             - overlaps.joint)
    comparable = (truth.labels[:, None] == prediction.labels[None]) & ~truth.crowd[:, None]
    matched = comparable & (2 * overlaps.joint > union)
    return np.divide(overlaps.joint, union, where=matched, out=np.zeros(union.shape))


def _on_own_crowd(
        truth: SegmentMap, prediction: SegmentMap, overlaps: _Overlaps) -> np.ndarray:
    """(M,) pixels of each predicted segment on the crowd region of its class.

    Where an image has several crowd regions of a class, the last one counts, as in panopticapi.
    """
    row_of = {int(truth.labels[row]): row for row in np.flatnonzero(truth.crowd)}
    rows = [row_of.get(int(label), -1) for label in prediction.labels]
    padded = np.concatenate([overlaps.joint, np.zeros_like(overlaps.void)[None]])
    return padded[rows, np.arange(len(rows))]


def _per_class(*, tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, iou: np.ndarray) -> np.ndarray:
    labels = np.unique(np.concatenate([tp, fp, fn]))
    out = np.zeros((len(labels), 5))
    out[:, _LABEL] = labels
    for column, values in ((_TP, tp), (_FP, fp), (_FN, fn)):
        np.add.at(out[:, column], np.searchsorted(labels, values), 1)
    np.add.at(out[:, _IOU], np.searchsorted(labels, tp), iou)
    return out


def _overlaps(truth: SegmentMap, prediction: SegmentMap) -> _Overlaps:
    truth_ids, prediction_ids, table = _joint_areas(
        truth.ids.to(prediction.ids.device), prediction.ids)
    rows = _positions(truth, truth_ids, 'ground truth')
    columns = _positions(prediction, prediction_ids, 'prediction')
    # One more row and column of zeros for the segments (position -1) without pixels.
    table = np.pad(table, ((0, 1), (0, 1)))
    void_row = np.flatnonzero(truth_ids == truth.void)
    return _Overlaps(
        joint=table[np.ix_(rows, columns)], truth=table.sum(axis=1)[rows],
        prediction=table.sum(axis=0)[columns], void=table[void_row].sum(axis=0)[columns])


def _positions(segments: SegmentMap, present: np.ndarray, name: str) -> np.ndarray:
    """(N,) index of each segment's id in ``present``, -1 if it has no pixels."""
    unlisted = np.setdiff1d(present, np.append(segments.segment_ids, segments.void))
    if len(unlisted):
        raise UserError(
            f'the map of the {name} has the id {unlisted[0]}, which is neither void '
            f'({segments.void}) nor listed in its segments_info.')
    index = {int(value): position for position, value in enumerate(present)}
    return np.array([index.get(int(value), -1) for value in segments.segment_ids], dtype=int)


def _joint_areas(first: Tensor, second: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ids in both maps, (n,) and (m,), and (n, m) the number of pixels of each pair."""
    first_ids, rows = dense_ids(first)
    second_ids, columns = dense_ids(second)
    shape = len(first_ids), len(second_ids)
    table = torch.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    return first_ids.cpu().numpy(), second_ids.cpu().numpy(), table.view(shape).cpu().numpy()
