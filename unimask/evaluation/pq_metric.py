"""Panoptic quality as a metric of the evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from unimask.evaluation.panoptic_quality import (
    image_quality,
    panoptic_quality,
    panoptic_statistics,
    true_segments,
)
from unimask.evaluation.samples import naming_image, predicted_segments, taxonomy_of, truth_segments
from unimask.evaluation.tables import ClassTable, score_table
from unimask.registry import METRICS


@METRICS.register_module()
class PQMetric(BaseMetric):
    """PQ, SQ and RQ over all classes, things (``_th``) and stuff (``_st``), in percent.

    Follows the official panopticapi: a class counts once it has a segment in the truth or a false
    positive; void and crowd regions are ignored. A group without such a class scores NaN.

    A sample needs ``pred_panoptic_seg`` (ids ``class + index * INSTANCE_OFFSET``, the class count
    being void; ``segments_info`` optional) and ``gt_panoptic_seg`` (any ids with
    ``segments_info``, 0 being void; or mmdet's ids without).

    Args:
        per_class: Also log the table of classes.
        prefix: In front of the names of the scores.
        collect_device: ``'cpu'`` or ``'gpu'``, how the processes exchange their statistics.
    """

    default_prefix = 'panoptic'
    image_score = 'PQ of the picture, the segments of all classes taken together'

    def __init__(
            self, *, per_class: bool = True, prefix: str | None = None,
            collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.per_class = per_class

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the statistics of each sample, at most 40 bytes per class in it."""
        num_classes = taxonomy_of(self.dataset_meta, 'PQMetric').num_classes
        for sample in data_samples:
            with naming_image(sample):
                self.results.append(panoptic_statistics(
                    truth_segments(sample, num_classes, 'PQMetric'),
                    predicted_segments(sample, num_classes, 'PQMetric')))

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Scores of all images together."""
        taxonomy = taxonomy_of(self.dataset_meta, 'PQMetric')
        quality = panoptic_quality(results, taxonomy.things)
        names, columns = ('all', 'things', 'stuff'), ('PQ', 'SQ', 'RQ')
        summary = 100 * np.stack([quality[name] for name in names])
        self.image_scores = 100 * image_quality(results)
        self.class_tables = [ClassTable(
            taxonomy.classes, columns, 100 * quality['per_class'], counted='segments',
            counts=true_segments(results, taxonomy.num_classes))]
        if self.per_class:
            print_log(str(self.class_tables[0]), 'current')
        print_log(score_table(names, summary, columns, first='panoptic'), 'current')
        return {
            column + suffix: float(value)
            for suffix, row in zip(('', '_th', '_st'), summary, strict=True)
            for column, value in zip(columns, row, strict=True)}
