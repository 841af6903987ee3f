"""Mean IoU and accuracies from class maps.

Shapes: h, w pixels; K classes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from unimask.errors import UserError
from unimask.evaluation.boundary import boundary_distance, boundary_pixels

Average = Literal['gt_present', 'union_present']


def class_areas(
        prediction: Tensor, truth: Tensor, *, num_classes: int, ignore_index: int) -> np.ndarray:
    """Count the pixels of each class in one image.

    Args:
        prediction: (h, w) classes; a value outside the classes is wrong wherever it stands.
        truth: (h, w) classes, ``ignore_index`` where nothing is counted.
        num_classes: K.
        ignore_index: See ``truth``.

    Returns:
        (3, K) int64: pixels where both agree, of the prediction, of the truth.

    Raises:
        UserError: If the sizes differ or the truth has a label outside the classes.
    """
    if prediction.shape != truth.shape:
        raise UserError(
            f'the predicted map has the size {tuple(prediction.shape)}, but the ground truth '
            f'{tuple(truth.shape)}; both must have the original size of the image.')
    prediction = prediction.reshape(-1).long()
    truth = truth.reshape(-1).to(prediction)
    width = num_classes + 1
    # The last row collects ignored pixels, the last column predictions outside the classes.
    row = truth.masked_fill(truth == ignore_index, num_classes)
    _check_labels(truth, num_classes, ignore_index)
    outside = (prediction < 0) | (prediction > num_classes)
    column = prediction.masked_fill(outside, num_classes)
    table = torch.bincount(row * width + column, minlength=width * width).view(width, width)
    table = table[:num_classes]
    areas = torch.stack([table.diagonal(), table.sum(0)[:num_classes], table.sum(1)])
    return areas.cpu().numpy()


def boundary_areas(
        prediction: Tensor, truth: Tensor, *, num_classes: int, ignore_index: int) -> np.ndarray:
    """Count the pixels of each class near its contours in one image.

    A class's boundary is made in the prediction and in the truth by themselves; pixels that are
    ignored in the truth are in neither. Arguments, result and errors are those of
    :func:`class_areas`.
    """
    inner = num_classes  # a class of its own: pixels far from any contour
    distance = boundary_distance(*truth.shape)
    truth = truth.long().cpu()
    ignored = truth == ignore_index
    maps = []
    for labels in (prediction.long().cpu().clamp(-1, num_classes), truth):
        labels = labels.masked_fill(ignored, -1)
        near = torch.from_numpy(boundary_pixels(labels.numpy(), distance))
        maps.append(labels.masked_fill(~near, inner).masked_fill(ignored, -1))
    areas = class_areas(*maps, num_classes=num_classes + 1, ignore_index=-1)
    return areas[:, :num_classes]


def _check_labels(truth: Tensor, num_classes: int, ignore_index: int) -> None:
    wrong = ((truth < 0) | (truth >= num_classes)) & (truth != ignore_index)
    if wrong.any():
        raise UserError(
            f'the ground truth has the label {int(truth[wrong][0])}, but the dataset has the '
            f'{num_classes} classes 0 to {num_classes - 1}. Mend the label file, or map the '
            f'label to ignore.')


def iou_scores(areas: np.ndarray, *, average: Average = 'gt_present') -> dict:
    """Scores from the areas summed over images.

    Args:
        areas: (3, K), see :func:`class_areas`.
        average: ``'gt_present'``: mIoU is the mean over the classes in the ground truth;
            ``'union_present'``: over those in ground truth or prediction.

    Returns:
        Fractions ``mIoU``, ``mAcc`` (over the classes in the ground truth), ``aAcc``, ``fwIoU``;
        ``IoU`` and ``Acc`` (K,), NaN where undefined.
    """
    both, predicted, truth = areas.astype(np.float64)
    union = predicted + truth - both
    iou, accuracy = _divide(both, union), _divide(both, truth)
    counted = truth > 0 if average == 'gt_present' else union > 0
    return dict(
        mIoU=_mean(iou[counted]), mAcc=_mean(accuracy[truth > 0]),
        aAcc=float(_divide(both.sum(), truth.sum())),
        fwIoU=float(_divide((truth * np.nan_to_num(iou)).sum(), truth.sum())),
        IoU=iou, Acc=accuracy)


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, NaN where the denominator is 0."""
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(denominator > 0, np.divide(numerator, denominator), np.nan)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float('nan')
