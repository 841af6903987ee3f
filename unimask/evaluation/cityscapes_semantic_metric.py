"""Mean IoU of Cityscapes by the official cityscapesscripts, without files of predictions.

Shapes: (h, w) pixels, N label ids of Cityscapes (0 to N - 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from unimask.errors import UserError
from unimask.evaluation.cityscapes_truth import label_ids, read_instance_ids
from unimask.evaluation.samples import class_map, naming_image, predicted, taxonomy_of
from unimask.evaluation.tables import ClassTable, score_table
from unimask.registry import METRICS
from unimask.structures.arrays import as_array
from unimask.utils.extras import require

_NAME = 'CityscapesSemanticMetric'
_WEIGHTED = ('tpWeighted', 'fnWeighted')


@METRICS.register_module()
class CityscapesSemanticMetric(BaseMetric):
    """mIoU of Cityscapes in percent, of classes and categories, and the instance-level iIoU.

    Pixels are counted here; the scores are cityscapesscripts' own. A sample needs
    ``pred_sem_seg`` and ``img_path``: the truth is read from the official
    ``gtFine/.../*_gtFine_instanceIds.png`` beside the folder ``leftImg8bit``.

    Args:
        per_class: Also log the table of classes.
        prefix: In front of the names of the scores.
        collect_device: ``'cpu'`` or ``'gpu'``, how the processes exchange their counts.
    """

    default_prefix = 'cityscapes_semantic'

    def __init__(
            self, *, per_class: bool = True, prefix: str | None = None,
            collect_device: str = 'cpu') -> None:
        require('cityscapesscripts', owner=_NAME)
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.per_class = per_class

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the confusion matrix and the weighted hits and misses of each sample."""
        classes = taxonomy_of(self.dataset_meta, _NAME).classes
        for sample in data_samples:
            with naming_image(sample):
                labels = as_array(class_map(predicted(sample, 'pred_sem_seg', _NAME)))
                labels = np.where((labels < 0) | (labels >= len(classes)), len(classes), labels)
                # What is outside the classes (void) counts as label id 0, unlabeled.
                table = np.array([*label_ids(classes, _NAME), 0])
                truth = read_instance_ids(sample['img_path'], _NAME)
                self.results.append(_counts(table[labels], truth))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Scores of all images together."""
        from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
        from cityscapesscripts.helpers.labels import category2labels, id2label
        options = SimpleNamespace(**vars(official.args))
        confusion = official.generateMatrix(options)  # it also fills in options.evalLabels
        instances = official.generateInstanceStats(options)
        for result in results:
            confusion += result['confusion']
            _add(instances, result['instances'])
        names = {id2label[label].name: label for label in options.evalLabels
                 if not id2label[label].ignoreInEval}
        tables = dict(
            mIoU={name: official.getIouScoreForLabel(label, confusion, options)
                  for name, label in names.items()},
            iIoU={name: official.getInstanceIouScoreForLabel(label, confusion, instances, options)
                  for name, label in names.items()},
            mIoU_category={name: official.getIouScoreForCategory(name, confusion, options)
                           for name in category2labels},
            iIoU_category={
                name: official.getInstanceIouScoreForCategory(name, confusion, instances, options)
                for name in category2labels})
        averages = {name: 100 * official.getScoreAverage(table, options)
                    for name, table in tables.items()}
        self._log(tables, averages)
        return averages

    def _log(self, tables: dict[str, dict[str, float]], averages: dict[str, float]) -> None:
        rows = 100 * np.array([list(tables[name].values()) for name in ('mIoU', 'iIoU')]).T
        self.class_tables = [ClassTable(list(tables['mIoU']), ('IoU', 'iIoU'), rows)]
        if self.per_class:
            print_log(str(self.class_tables[0]), 'current')
        row = np.array([list(averages.values())])
        print_log(score_table(('all',), row, list(averages), first='Cityscapes'), 'current')


def _counts(labels: np.ndarray, truth: np.ndarray) -> dict:
    """What is kept of an image.

    Args:
        labels: (h, w) predicted label ids.
        truth: (h, w) instance ids.

    Returns:
        ``confusion``, (N, N) pixels by true and predicted label id, and ``instances``, for every
        class and category the weighted hits and misses, in the form of
        ``generateInstanceStats``.
    """
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
    if labels.shape != truth.shape:
        raise UserError(
            f'the predicted map has the size {labels.shape}, but the ground truth {truth.shape}; '
            f'both must have the original size of the image.')
    options = SimpleNamespace(**vars(official.args))
    size = len(official.generateMatrix(options))
    true_labels = np.where(truth >= 1000, truth // 1000, truth)
    confusion = np.bincount((true_labels * size + labels).ravel(), minlength=size * size)
    return dict(confusion=confusion.reshape(size, size).astype(np.ulonglong),
                instances=_instances(labels, truth, options))


def _instances(labels: np.ndarray, truth: np.ndarray, options: SimpleNamespace) -> dict:
    """Hits and misses of true instances; each counts as one of its class's average size."""
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
    from cityscapesscripts.helpers.labels import id2label
    stats = official.generateInstanceStats(options)
    ids, areas = np.unique(truth[truth > 1000], return_counts=True)
    for instance, area in zip(ids.tolist(), areas.tolist(), strict=True):
        label = id2label[instance // 1000]
        if label.ignoreInEval:
            continue
        inside = labels[truth == instance]
        weight = options.avgClassSize[label.name] / area
        groups = [(stats['classes'][label.name], [label.id])]
        if label.category in stats['categories']:
            category = stats['categories'][label.category]
            groups.append((category, category['labelIds']))
        for group, hits in groups:
            hit = int(np.isin(inside, hits).sum())
            group['tpWeighted'] += hit * weight
            group['fnWeighted'] += (area - hit) * weight
    return stats


def _add(total: dict, part: dict) -> None:
    for kind in ('classes', 'categories'):
        for name, values in part[kind].items():
            for key in _WEIGHTED:
                total[kind][name][key] += values[key]
