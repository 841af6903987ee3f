"""Instance AP of Cityscapes by the official cityscapesscripts, without files of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from unimask.errors import UserError
from unimask.evaluation.cityscapes_truth import label_ids, read_instance_ids
from unimask.evaluation.samples import naming_image, predicted, taxonomy_of
from unimask.evaluation.tables import ClassTable, score_table
from unimask.registry import METRICS
from unimask.structures.arrays import as_array
from unimask.utils.extras import require


@METRICS.register_module()
class CityscapesInstanceMetric(BaseMetric):
    """AP and AP50 of Cityscapes in percent.

    Overlaps are counted here; ignore regions, groups and the precision curves are
    cityscapesscripts' own. A sample needs ``pred_instances`` and ``img_path``: the truth is read
    from the official ``gtFine/.../*_gtFine_instanceIds.png`` beside the folder ``leftImg8bit``.

    Args:
        per_class: Also log the table of classes.
        prefix: In front of the names of the scores.
        collect_device: ``'cpu'`` or ``'gpu'``, how the processes exchange their overlaps.
    """

    default_prefix = 'cityscapes_instance'

    def __init__(
            self, *, per_class: bool = True, prefix: str | None = None,
            collect_device: str = 'cpu') -> None:
        require('cityscapesscripts', owner='CityscapesInstanceMetric')
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.per_class = per_class

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the overlaps of each sample's predicted and true instances."""
        classes = taxonomy_of(self.dataset_meta, 'CityscapesInstanceMetric').classes
        for sample in data_samples:
            with naming_image(sample):
                fields = predicted(sample, 'pred_instances', 'CityscapesInstanceMetric')
                truth = read_instance_ids(sample['img_path'], 'CityscapesInstanceMetric')
                ids = label_ids(classes, 'CityscapesInstanceMetric')
                self.results.append(_image_matches(fields, truth, ids))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Scores of all images together."""
        from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as official
        options = SimpleNamespace(**vars(official.args))
        official.setInstanceLabels(options)
        table = official.evaluateMatches(dict(enumerate(results)), options)
        averages = official.computeAverages(table, options)
        rows = [[part['ap'], part['ap50%']] for part in averages['classes'].values()]
        self.class_tables = [
            ClassTable(list(averages['classes']), ('AP', 'AP50'), 100 * np.array(rows))]
        if self.per_class:
            print_log(str(self.class_tables[0]), 'current')
        summary = 100 * np.array([[averages['allAp'], averages['allAp50%']]], dtype=float)
        print_log(score_table(('all',), summary, ('AP', 'AP50'), first='instance'), 'current')
        return dict(AP=float(summary[0, 0]), AP50=float(summary[0, 1]))


def _image_matches(fields: Mapping, truth: np.ndarray, class_ids: Sequence[int]) -> dict:
    """Instances of one image in the form of cityscapesscripts' ``assignGt2Preds``."""
    from cityscapesscripts.helpers.labels import id2label, labels
    counted = [label.name for label in labels if label.hasInstances and not label.ignoreInEval]
    truths = {name: [] for name in counted}
    found = {name: [] for name in counted}
    ids, areas = np.unique(truth, return_counts=True)
    for instance, area in zip(ids.tolist(), areas.tolist(), strict=True):
        name = id2label[instance // 1000 if instance >= 1000 else instance].name
        if name in truths:
            truths[name].append(dict(
                instID=instance, pixelCount=area, medDist=-1, distConf=0.0, matchedPred=[]))
    ignored = [label.id for label in labels if label.ignoreInEval]
    void = np.isin(truth, ignored)
    for label, score, mask in zip(
            *(as_array(fields[key]) for key in ('labels', 'scores', 'masks')), strict=True):
        name = id2label[class_ids[int(label)]].name
        if name in found and mask.any():
            found[name].append(_match(mask.astype(bool), float(score), truth, void, truths[name]))
    return dict(groundTruth=truths, prediction=found)


def _match(
        mask: np.ndarray, score: float, truth: np.ndarray, void: np.ndarray,
        candidates: list[dict]) -> dict:
    """One prediction with the true instances of its class that it overlaps, noted on both."""
    if mask.shape != truth.shape:
        raise UserError(
            f'the predicted masks have the size {mask.shape}, but the ground truth {truth.shape}; '
            f'both must have the original size of the image.')
    inside, areas = np.unique(truth[mask], return_counts=True)
    overlap = dict(zip(inside.tolist(), areas.tolist(), strict=True))
    prediction = dict(
        pixelCount=int(mask.sum()), confidence=score,
        voidIntersection=int(np.count_nonzero(void & mask)), matchedGt=[])
    for instance in candidates:
        shared = overlap.get(instance['instID'], 0)
        if shared:
            about = {key: value for key, value in instance.items() if key != 'matchedPred'}
            prediction['matchedGt'].append(dict(about, intersection=shared))
            instance['matchedPred'].append(dict(
                intersection=shared, pixelCount=prediction['pixelCount'], confidence=score))
    return prediction
