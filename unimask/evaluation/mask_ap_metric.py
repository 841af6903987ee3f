"""Mask (box, boundary) average precision as a metric of the evaluator."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from unimask.errors import UserError, image_name
from unimask.evaluation.ap_records import (
    ImageRecord,
    annotations,
    coco_dataset,
    instances_of,
    true_instances,
)
from unimask.evaluation.coco_ap import (
    NAMES,
    APScores,
    Backend,
    IouType,
    average_precision,
    choose_backend,
)
from unimask.evaluation.instance_quality import IMAGE_SCORE, instance_quality, with_truth
from unimask.evaluation.samples import naming_image, predicted, taxonomy_of
from unimask.evaluation.tables import ClassTable, score_table
from unimask.registry import METRICS
from unimask.structures.taxonomy import Taxonomy


@METRICS.register_module()
class MaskAPMetric(BaseMetric):
    """COCO's AP, AP50, AP75, APs, APm and APl of masks, in percent, for the thing classes.

    A sample needs ``pred_instances`` (labels, scores, masks) and, unless ``ann_file`` is given,
    ``gt_instances`` (labels, masks; those of ``ignored_instances`` count as crowd) or
    ``gt_panoptic_seg`` with its thing segments. A score without such objects is NaN.

    Args:
        ann_file: COCO instance annotations to compare with instead of the samples' own; needed for
            the official numbers of COCO, whose objects' areas come from there. Its categories are
            matched by name; more categories than the dataset's are left out.
        data_root: Folder that ``ann_file`` is below, as for the datasets.
        iou_types: Any of ``'segm'``, ``'bbox'`` and ``'boundary'``. The scores of boxes (those
            around the masks) are called ``bbox_AP`` and so on, Boundary AP (Cheng et al., CVPR
            2021) ``boundary_AP`` and so on.
        size_by: How large a prediction is for APs, APm, APl of masks: ``'mask'`` area, as in the
            published numbers, or ``'box'`` area, as pycocotools does with result files that
            hold boxes too.
        backend: ``'pycocotools'``, ``'hotcoco'`` (same digits, faster), ``'auto'``: the
            faster one that is installed.
        per_class: Also log the table of classes.
        prefix: In front of the names of the scores.
        collect_device: ``'cpu'`` or ``'gpu'``, how the processes exchange their records.

    Raises:
        UserError: If ``ann_file`` does not exist.
        UserError: If another argument is none of those above.
    """

    default_prefix = 'instance'
    image_score = IMAGE_SCORE

    def __init__(
            self, *, ann_file: str | None = None, data_root: str = '',
            iou_types: Sequence[IouType] = ('segm',), size_by: Literal['mask', 'box'] = 'mask',
            backend: Backend = 'auto', per_class: bool = True, prefix: str | None = None,
            collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.iou_types = (iou_types,) if isinstance(iou_types, str) else tuple(iou_types)
        if not self.iou_types or not set(self.iou_types) <= set(get_args(IouType)):
            raise UserError(f'`iou_types` of MaskAPMetric has one or more of {get_args(IouType)}, '
                            f'not {iou_types!r}.')
        if size_by not in ('mask', 'box'):
            raise UserError(f"`size_by` of MaskAPMetric is 'mask' or 'box', not {size_by!r}.")
        ann_file = str(Path(data_root, ann_file)) if ann_file else None
        if ann_file is not None and not Path(ann_file).is_file():
            raise UserError(
                f'`ann_file` of MaskAPMetric does not exist: {ann_file}. Correct '
                f'val_evaluator.ann_file and test_evaluator.ann_file, or set them to None to '
                f'compare with the annotations that the dataset loads.')
        self.ann_file = ann_file
        self.size_by = size_by
        self.backend = choose_backend(backend)
        self.per_class = per_class

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the run-length codes of each sample's masks."""
        taxonomy = taxonomy_of(self.dataset_meta, 'MaskAPMetric')
        for sample in data_samples:
            with naming_image(sample):
                self.results.append(self._record(sample, taxonomy))

    def _record(self, sample: Mapping, taxonomy: Taxonomy) -> ImageRecord:
        prediction = instances_of(predicted(sample, 'pred_instances', 'MaskAPMetric'), taxonomy)
        truth = None
        if self.ann_file is None:
            truth = true_instances(sample, taxonomy)
            _check_size(prediction.size, truth.size)
        elif 'img_id' not in sample:
            raise UserError(
                "MaskAPMetric with `ann_file` needs the sample's `img_id`; keep it in meta_keys.")
        return ImageRecord(
            sample.get('img_id', image_name(sample)), image_name(sample), prediction, truth)

    def compute_metrics(self, results: list[ImageRecord]) -> dict[str, float]:
        """Scores of all images together."""
        taxonomy = taxonomy_of(self.dataset_meta, 'MaskAPMetric')
        names = [taxonomy.classes[label] for label in taxonomy.thing_ids]
        judged: Iterable[ImageRecord] = results
        if self.ann_file is None:
            results = sorted(results, key=_image_order)
            image_ids = list(range(1, len(results) + 1))
            truth = coco_dataset(results, image_ids, taxonomy)
            categories = {label: label for label in taxonomy.thing_ids}
        else:
            truth = json.loads(Path(self.ann_file).read_text())
            truth, image_ids = _numbered(truth, _check_images(results, truth, self.ann_file))
            categories = _match_categories(truth, taxonomy, self.ann_file)
            judged = with_truth(results, image_ids, truth, categories)
        self.image_scores = [100 * instance_quality(record) for record in judged]
        counts = _true_counts(truth, image_ids, list(categories.values()))
        scores, self.class_tables = {}, []
        for iou_type in self.iou_types:
            result = average_precision(
                truth, self._detections(results, image_ids, categories, iou_type),
                category_ids=list(categories.values()), image_ids=image_ids, iou_type=iou_type,
                backend=self.backend)
            order = np.argsort(np.argsort(list(categories.values())))
            self._log(iou_type, names, result.per_category[order], counts, result)
            head = '' if iou_type == 'segm' else f'{iou_type}_'
            scores |= {head + name: 100 * value for name, value in result.summary.items()}
        return scores

    def _log(
            self, iou_type: str, names: list[str], per_class: np.ndarray, counts: list[int],
            result: APScores) -> None:
        head = '' if iou_type == 'segm' else f'{iou_type}_'
        self.class_tables.append(ClassTable(
            names, (f'{head}AP', f'{head}AP50'), 100 * per_class, counted='objects',
            counts=counts))
        if self.per_class:
            print_log(str(self.class_tables[-1]), 'current')
        row = 100 * np.array([list(result.summary.values())])
        print_log(score_table([iou_type], row, NAMES, first='instance'), 'current')

    def _detections(
            self, records: Sequence[ImageRecord], image_ids: Sequence[int],
            categories: Mapping[int, int], iou_type: IouType) -> list[dict]:
        by_box = iou_type == 'bbox' or self.size_by == 'box'
        found = []
        for record, image_id in zip(records, image_ids, strict=True):
            for item in annotations(record.prediction, by_box):
                found.append(dict(
                    item, id=len(found) + 1, image_id=image_id,
                    category_id=categories[item['category_id']]))
        return found


def _true_counts(truth: dict, image_ids: Sequence[int], categories: Sequence[int]) -> list[int]:
    """Objects of each category in these images, crowd regions left out."""
    images = set(image_ids)
    counts = Counter(entry['category_id'] for entry in truth['annotations']
                     if entry['image_id'] in images and not entry.get('iscrowd'))
    return [counts[category] for category in categories]


def _match_categories(truth: dict, taxonomy: Taxonomy, ann_file: str) -> dict[int, int]:
    """Label -> category id, matched by name."""
    id_of = {category['name']: int(category['id']) for category in truth['categories']}
    names = {label: taxonomy.classes[label] for label in taxonomy.thing_ids}
    missing = [name for name in names.values() if name not in id_of]
    if missing:
        raise UserError(
            f'`ann_file` of MaskAPMetric, {ann_file}, has no category named {missing[:10]}; it has '
            f"{list(id_of)[:10]}... The names must be those of the dataset's thing classes "
            f'(metainfo classes and thing_classes).')
    return {label: id_of[name] for label, name in names.items()}


def _check_images(records: Sequence[ImageRecord], truth: dict, ann_file: str) -> list[int]:
    """The image id of each record, which ``ann_file`` must have once and in the same size."""
    sizes = {image['id']: (image['height'], image['width']) for image in truth['images']}
    ids = [record.image_id for record in records]
    for image_id, record in zip(ids, records, strict=True):
        if image_id not in sizes:
            raise UserError(
                f'Image {record.name}: its id {image_id!r} is not in `ann_file` of MaskAPMetric, '
                f'{ann_file}. Dataset and ann_file must belong together.')
        try:
            _check_size(record.prediction.size, sizes[image_id])
        except UserError as error:
            raise UserError(f'Image {record.name}: {error}') from error
    if len(set(ids)) < len(ids):
        twice = next(image_id for image_id in ids if ids.count(image_id) > 1)
        raise UserError(f'MaskAPMetric got the image with the id {twice!r} more than once.')
    return ids


def _numbered(truth: dict, image_ids: list) -> tuple[dict, list[int]]:
    """The same with numbers for image ids that are names (ADE20K), in the same order.

    hotcoco takes numbers alone.
    """
    if all(isinstance(image['id'], Integral) for image in truth['images']):
        return truth, image_ids
    names = sorted((image['id'] for image in truth['images']), key=str)
    number = {name: index for index, name in enumerate(names, start=1)}
    images = [dict(image, id=number[image['id']]) for image in truth['images']]
    entries = [dict(entry, image_id=number[entry['image_id']]) for entry in truth['annotations']]
    return dict(truth, images=images, annotations=entries), [number[name] for name in image_ids]


def _check_size(predicted_size: tuple[int, int], size: tuple[int, int]) -> None:
    if tuple(predicted_size) != tuple(size):
        raise UserError(
            f'the predicted masks have the size {tuple(predicted_size)}, but the ground truth '
            f'{tuple(size)}; both must have the original size of the image.')


def _image_order(record: ImageRecord) -> tuple[bool, int, str, str]:
    """Numbered images by number, as pycocotools, others by name.

    The order decides between equal scores, so it must not depend on how images were dealt out.
    """
    numbered = isinstance(record.image_id, Integral)
    return not numbered, record.image_id if numbered else 0, str(record.image_id), record.name
