"""How good the instances of one picture are, in one number: to find the worst pictures.

Shapes: N true and M predicted instances.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from pycocotools import mask as coco_mask

from unimask.evaluation.ap_records import ImageRecord, Instances

__all__ = ['IMAGE_SCORE', 'instance_quality', 'with_truth']

_MIN_SCORE = 0.3  # as in pictures: what is less sure is not drawn either
IMAGE_SCORE = ('IoU of the matched objects (same class, IoU above 0.5, the surest first), divided '
               'by the number of matches and half of the false and missed ones; predictions with '
               f'a score below {_MIN_SCORE} are left out')


def instance_quality(record: ImageRecord) -> float:
    """PQ of the instances of one picture, the objects of all classes taken together.

    Unlike segments instances may overlap, so that they are matched one after the other, the
    surest prediction first. What is mostly inside a crowd region of its class does not count.

    Args:
        record: With its truth.

    Returns:
        A fraction; NaN where there is nothing, in the truth or in the prediction.
    """
    truth, found = record.truth, _sure(record.prediction)
    iou = _overlaps(truth, found)
    missed = set(np.flatnonzero(~truth.crowd).tolist())
    matched, false = [], 0
    for row in iou:
        best = max(missed, key=lambda column: row[column], default=None)
        if best is not None and row[best] > 0.5:
            missed.remove(best)
            matched.append(row[best])
        elif not (row[truth.crowd] > 0.5).any():
            false += 1
    weight = len(matched) + 0.5 * (false + len(missed))
    return float(sum(matched) / weight) if weight else float('nan')


def with_truth(records: Sequence[ImageRecord], image_ids: Sequence[int], truth: Mapping,
               categories: Mapping[int, int]) -> Iterator[ImageRecord]:
    """Records with the truth of a COCO data set.

    Args:
        records: Without truth.
        image_ids: Of the records.
        truth: Content of the annotation file.
        categories: Label -> category id.
    """
    label_of = {category: label for label, category in categories.items()}
    entries = defaultdict(list)
    for entry in truth['annotations']:
        if entry['category_id'] in label_of:
            entries[entry['image_id']].append(entry)
    for record, image_id in zip(records, image_ids, strict=True):
        size, found = record.prediction.size, entries[image_id]
        labels = [label_of[entry['category_id']] for entry in found]
        crowd = [bool(entry.get('iscrowd')) for entry in found]
        yield replace(record, truth=Instances(
            size, np.array(labels, dtype=np.int64), np.ones(len(found)),
            np.array(crowd, dtype=bool), [_code(entry['segmentation'], size) for entry in found]))


def _code(segmentation: list | Mapping, size: tuple[int, int]) -> bytes:
    """Run-length code of polygons, or of plain or packed run lengths."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))['counts']
    if isinstance(segmentation['counts'], list):
        return coco_mask.frPyObjects(segmentation, *size)['counts']
    counts = segmentation['counts']
    return counts.encode() if isinstance(counts, str) else counts


def _sure(found: Instances) -> Instances:
    """Those that are sure enough, the surest first."""
    order = np.argsort(-found.scores, kind='stable')
    order = order[found.scores[order] >= _MIN_SCORE]
    return Instances(found.size, found.labels[order], found.scores[order], found.crowd[order],
                     [found.codes[index] for index in order])


def _overlaps(truth: Instances, found: Instances) -> np.ndarray:
    """(M, N) IoU, with crowd regions the share of the prediction; 0 for different classes."""
    if not len(truth.codes) or not len(found.codes):
        return np.zeros((len(found.codes), len(truth.codes)))
    iou = coco_mask.iou(_encoded(found), _encoded(truth), truth.crowd.astype(np.uint8).tolist())
    return np.where(found.labels[:, None] == truth.labels[None], iou, 0.0)


def _encoded(instances: Instances) -> list[dict]:
    return [dict(size=list(instances.size), counts=code) for code in instances.codes]
