"""Average precision of COCO by pycocotools or a faster library that gives the same digits.

Shapes: T IoU thresholds, R recall thresholds, K categories.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any, Literal

import numpy as np

from unimask.errors import UserError

IouType = Literal['segm', 'bbox', 'boundary']
Backend = Literal['auto', 'pycocotools', 'hotcoco']
NAMES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl')


@dataclass(frozen=True)
class APScores:
    """Fractions, NaN where there is no such object.

    Attributes:
        summary: AP, AP50, AP75, APs, APm, APl.
        per_category: (K, 2) AP and AP50 in the order of the category ids.
    """

    summary: dict[str, float]
    per_category: np.ndarray


def choose_backend(backend: Backend) -> str:
    """The library to use: for ``'auto'`` hotcoco where it is installed, else pycocotools.

    Raises:
        UserError: If the name is unknown.
        UserError: If the library is not installed.
    """
    if backend not in ('auto', 'pycocotools', 'hotcoco'):
        raise UserError(
            f"`backend` of MaskAPMetric is 'auto', 'pycocotools' or 'hotcoco', not {backend!r}.")
    installed = importlib.util.find_spec('hotcoco') is not None
    if backend == 'hotcoco' and not installed:
        raise UserError(
            "MaskAPMetric(backend='hotcoco') needs the package hotcoco: pip install hotcoco, or "
            "leave backend='auto'.")
    if backend == 'auto':
        return 'hotcoco' if installed else 'pycocotools'
    return backend


def average_precision(
        truth: dict, detections: list[dict], *, category_ids: Sequence[int],
        image_ids: Sequence[int], iou_type: IouType, backend: str) -> APScores:
    """Score detections against a COCO data set.

    Args:
        truth: Content of a COCO annotation file.
        detections: Annotations with ``id`` (from 1), ``image_id``, ``category_id``, ``score``,
            ``area`` and ``segmentation`` (RLE) or ``bbox``.
        category_ids: The categories to evaluate.
        image_ids: The images to evaluate.
        iou_type: Overlap of masks, of boxes, or of masks and their boundaries.
        backend: ``'pycocotools'`` or ``'hotcoco'``; boundaries are always the former's.
    """
    found = dict(
        images=truth['images'], categories=truth['categories'],
        annotations=[dict(detection, iscrowd=0) for detection in detections])
    with redirect_stdout(StringIO()):
        evaluation = _evaluation(truth, found, iou_type, backend)
        evaluation.params.imgIds = sorted(image_ids)
        evaluation.params.catIds = sorted(category_ids)
        evaluation.evaluate()
        evaluation.accumulate()
    # (T, R, K, area ranges, detection limits): the last limit is 100 detections per image.
    precision = np.asarray(evaluation.eval['precision'])[..., -1]
    return _scores(precision)


def _evaluation(truth: dict, found: dict, iou_type: IouType, backend: str) -> Any:
    if backend == 'hotcoco' and iou_type != 'boundary':
        from hotcoco import COCO, COCOeval
        return COCOeval(COCO(truth), COCO(found), iou_type)
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    sets = []
    for content in (truth, found):
        coco = COCO()
        # It turns outlines into codes in place, which the next overlap should not meet.
        coco.dataset = dict(content, annotations=[dict(one) for one in content['annotations']])
        coco.createIndex()
        sets.append(coco)
    if iou_type == 'boundary':
        from unimask.evaluation.boundary_ap import BoundaryEvaluation
        return BoundaryEvaluation(*sets, 'segm')
    return COCOeval(*sets, iou_type)


def _scores(precision: np.ndarray) -> APScores:
    """Means over a (T, R, K, 4) table in which -1 stands for "no such object"."""
    everything = precision[..., 0]
    half, three_quarters = 0, 5  # T counts from 0.5 in steps of 0.05
    parts = (everything, everything[half], everything[three_quarters],
             *(precision[..., size] for size in (1, 2, 3)))
    per_category = [
        (_mean(everything[:, :, k]), _mean(everything[half, :, k]))
        for k in range(everything.shape[2])]
    return APScores(
        summary={name: _mean(part) for name, part in zip(NAMES, parts, strict=True)},
        per_category=np.array(per_category).reshape(-1, 2))


def _mean(values: np.ndarray) -> float:
    defined = values[values > -1]
    return float(np.mean(defined)) if defined.size else float('nan')
