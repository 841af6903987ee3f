"""Mean IoU as a metric of the evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from unimask.errors import UserError
from unimask.evaluation.mean_iou import Average, class_areas, iou_scores
from unimask.evaluation.samples import (
    class_map,
    naming_image,
    predicted,
    taxonomy_of,
    truth_class_map,
)
from unimask.evaluation.tables import score_table
from unimask.registry import METRICS


@METRICS.register_module()
class MeanIoUMetric(BaseMetric):
    """mIoU, mAcc, aAcc and fwIoU in percent, from exact pixel counts over the whole dataset.

    A sample needs ``pred_sem_seg`` and ``gt_sem_seg``; without the latter the classes of
    ``gt_panoptic_seg`` are the truth, its void being ignored.

    Args:
        average: Which classes mIoU is the mean of: ``'gt_present'``, those in the ground truth
            (as detectron2), or ``'union_present'``, also those only predicted (as mmseg).
        ignore_index: Label of ignored ground-truth pixels, unless ``gt_sem_seg`` states its own.
        per_class: Also log the table of classes.
        prefix: In front of the names of the scores.
        collect_device: ``'cpu'`` or ``'gpu'``, how the processes exchange their statistics.

    Raises:
        UserError: If ``average`` is none of the two.
    """

    default_prefix = 'semantic'

    def __init__(
            self, *, average: Average = 'gt_present', ignore_index: int = 255,
            per_class: bool = True, prefix: str | None = None,
            collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if average not in get_args(Average):
            raise UserError(
                f'`average` of MeanIoUMetric is one of {get_args(Average)}, not {average!r}.')
        self.average = average
        self.ignore_index = ignore_index
        self.per_class = per_class

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep three pixel counts per class of each sample."""
        num_classes = taxonomy_of(self.dataset_meta, 'MeanIoUMetric').num_classes
        for sample in data_samples:
            with naming_image(sample):
                prediction = class_map(predicted(sample, 'pred_sem_seg', 'MeanIoUMetric'))
                truth, ignore_index = truth_class_map(
                    sample, num_classes=num_classes, ignore_index=self.ignore_index,
                    metric='MeanIoUMetric')
                self.results.append(class_areas(
                    prediction, truth, num_classes=num_classes, ignore_index=ignore_index))

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Scores of all images together."""
        taxonomy = taxonomy_of(self.dataset_meta, 'MeanIoUMetric')
        areas = np.sum([np.zeros((3, taxonomy.num_classes), dtype=np.int64), *results], axis=0)
        scores = iou_scores(areas, average=self.average)
        if self.per_class:
            rows = 100 * np.stack([scores['IoU'], scores['Acc']], axis=1)
            print_log(score_table(taxonomy.classes, rows, ('IoU', 'Acc'), first='class'), 'current')
        names = ('mIoU', 'mAcc', 'aAcc', 'fwIoU')
        summary = 100 * np.array([[scores[name] for name in names]])
        print_log(score_table(('all',), summary, names, first='semantic'), 'current')
        return dict(zip(names, summary[0].tolist(), strict=True))
