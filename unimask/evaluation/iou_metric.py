"""Mean IoU as a metric of the evaluator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from unimask.errors import UserError
from unimask.evaluation.mean_iou import Average, boundary_areas, class_areas, iou_scores
from unimask.evaluation.samples import (
    class_map,
    naming_image,
    predicted,
    taxonomy_of,
    truth_class_map,
)
from unimask.evaluation.tables import ClassTable, score_table
from unimask.registry import METRICS


@METRICS.register_module()
class MeanIoUMetric(BaseMetric):
    """mIoU, mAcc, aAcc and fwIoU in percent, from exact pixel counts over the whole dataset.

    A sample needs ``pred_sem_seg`` and ``gt_sem_seg``; without the latter the classes of
    ``gt_panoptic_seg`` are the truth, its void being ignored.

    Args:
        average: Which classes mIoU is the mean of: ``'gt_present'``, those in the ground truth
            (as detectron2), or ``'union_present'``, also those only predicted (as mmseg).
        boundary: Also Boundary IoU (Cheng et al., CVPR 2021): ``boundary_mIoU``, the mean over
            the same classes, counts only pixels near the contours of a class.
        ignore_index: Label of ignored ground-truth pixels, unless ``gt_sem_seg`` states its own.
        per_class: Also log the table of classes.
        prefix: In front of the names of the scores.
        collect_device: ``'cpu'`` or ``'gpu'``, how the processes exchange their statistics.

    Raises:
        UserError: If ``average`` is none of the two.
    """

    default_prefix = 'semantic'
    image_score = "mean IoU of the classes in the picture's truth"

    def __init__(
            self, *, average: Average = 'gt_present', boundary: bool = False,
            ignore_index: int = 255, per_class: bool = True, prefix: str | None = None,
            collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if average not in get_args(Average):
            raise UserError(
                f'`average` of MeanIoUMetric is one of {get_args(Average)}, not {average!r}.')
        self.average = average
        self.boundary = boundary
        self.ignore_index = ignore_index
        self.per_class = per_class

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep three pixel counts per class of each sample, with boundaries six."""
        num_classes = taxonomy_of(self.dataset_meta, 'MeanIoUMetric').num_classes
        for sample in data_samples:
            with naming_image(sample):
                prediction = class_map(predicted(sample, 'pred_sem_seg', 'MeanIoUMetric'))
                truth, ignore_index = truth_class_map(
                    sample, num_classes=num_classes, ignore_index=self.ignore_index,
                    metric='MeanIoUMetric')
                counts = [count(prediction, truth, num_classes=num_classes,
                                ignore_index=ignore_index) for count in self._counts]
                self.results.append(np.concatenate(counts))

    @property
    def _counts(self) -> tuple[Callable[..., np.ndarray], ...]:
        return (class_areas, boundary_areas) if self.boundary else (class_areas,)

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Scores of all images together."""
        taxonomy = taxonomy_of(self.dataset_meta, 'MeanIoUMetric')
        nothing = np.zeros((3 * len(self._counts), taxonomy.num_classes), dtype=np.int64)
        areas = np.sum([nothing, *results], axis=0)
        scores = iou_scores(areas[:3], average=self.average)
        if self.boundary:
            near = iou_scores(areas[3:], average=self.average)
            scores |= dict(boundary_mIoU=near['mIoU'], boundary_IoU=near['IoU'])
        self.image_scores = 100 * np.array([iou_scores(one[:3])['mIoU'] for one in results])
        shown_by = np.sum([nothing[2] > 0, *(one[2] > 0 for one in results)], axis=0)
        return self._report(scores, taxonomy.classes, shown_by)

    def _report(self, scores: dict, classes: Sequence[str], shown_by: np.ndarray
                ) -> dict[str, float]:
        columns = ('IoU', 'Acc', 'boundary_IoU')[:3 if self.boundary else 2]
        names = ('mIoU', 'mAcc', 'aAcc', 'fwIoU', 'boundary_mIoU')[:5 if self.boundary else 4]
        rows = 100 * np.stack([scores[column] for column in columns], axis=1)
        self.class_tables = [ClassTable(classes, columns, rows, counted='pictures',
                                        counts=shown_by)]
        if self.per_class:
            print_log(str(self.class_tables[0]), 'current')
        summary = 100 * np.array([[scores[name] for name in names]])
        print_log(score_table(('all',), summary, names, first='semantic'), 'current')
        return dict(zip(names, summary[0].tolist(), strict=True))
