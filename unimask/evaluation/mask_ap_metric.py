"""Mask (and box) average precision as a metric of the evaluator."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from unimask.errors import UserError, image_name
from unimask.evaluation.coco_ap import (
    NAMES,
    APScores,
    Backend,
    IouType,
    average_precision,
    choose_backend,
)
from unimask.evaluation.rle import code_areas, code_boxes, encode_masks
from unimask.evaluation.samples import (
    naming_image,
    no_truth,
    predicted,
    taxonomy_of,
    truth_segments,
)
from unimask.evaluation.tables import score_table
from unimask.registry import METRICS
from unimask.structures.arrays import as_array
from unimask.structures.taxonomy import Taxonomy


@dataclass(frozen=True)
class Instances:
    """Instances of one image: (N,) labels, scores (of truth: 1), crowd flags and RLE codes."""

    size: tuple[int, int]
    labels: np.ndarray
    scores: np.ndarray
    crowd: np.ndarray
    codes: list[bytes]


@dataclass(frozen=True)
class ImageRecord:
    """What is kept of an image; ``truth`` is None where a file has it."""

    image_id: int | str
    name: str
    prediction: Instances
    truth: Instances | None


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
        iou_types: ``'segm'``, ``'bbox'`` or both. The scores of boxes (those around the masks)
            are called ``bbox_AP`` and so on.
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

    def __init__(
            self, *, ann_file: str | None = None, data_root: str = '',
            iou_types: Sequence[IouType] = ('segm',), size_by: Literal['mask', 'box'] = 'mask',
            backend: Backend = 'auto', per_class: bool = True, prefix: str | None = None,
            collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.iou_types = (iou_types,) if isinstance(iou_types, str) else tuple(iou_types)
        if not self.iou_types or not set(self.iou_types) <= {'segm', 'bbox'}:
            raise UserError(
                f"`iou_types` of MaskAPMetric has 'segm', 'bbox' or both, not {iou_types!r}.")
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
        prediction = _instances(predicted(sample, 'pred_instances', 'MaskAPMetric'), taxonomy)
        truth = None
        if self.ann_file is None:
            truth = _truth(sample, taxonomy)
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
        if self.ann_file is None:
            results = sorted(results, key=_image_order)
            image_ids = list(range(1, len(results) + 1))
            truth = _dataset(results, image_ids, taxonomy)
            categories = {label: label for label in taxonomy.thing_ids}
        else:
            truth = json.loads(Path(self.ann_file).read_text())
            image_ids = _check_images(results, truth, self.ann_file)
            categories = _match_categories(truth, taxonomy, self.ann_file)
        scores = {}
        for iou_type in self.iou_types:
            result = average_precision(
                truth, self._detections(results, image_ids, categories, iou_type),
                category_ids=list(categories.values()), image_ids=image_ids, iou_type=iou_type,
                backend=self.backend)
            order = np.argsort(np.argsort(list(categories.values())))
            self._log(iou_type, names, result.per_category[order], result)
            head = '' if iou_type == 'segm' else 'bbox_'
            scores |= {head + name: 100 * value for name, value in result.summary.items()}
        return scores

    def _log(
            self, iou_type: str, names: list[str], per_class: np.ndarray, result: APScores) -> None:
        if self.per_class:
            print_log(score_table(names, 100 * per_class, ('AP', 'AP50'), first='class'), 'current')
        row = 100 * np.array([list(result.summary.values())])
        print_log(score_table([iou_type], row, NAMES, first='instance'), 'current')

    def _detections(
            self, records: Sequence[ImageRecord], image_ids: Sequence[int],
            categories: Mapping[int, int], iou_type: IouType) -> list[dict]:
        by_box = iou_type == 'bbox' or self.size_by == 'box'
        found = []
        for record, image_id in zip(records, image_ids, strict=True):
            for item in _annotations(record.prediction, by_box):
                found.append(dict(
                    item, id=len(found) + 1, image_id=image_id,
                    category_id=categories[item['category_id']]))
        return found


def _instances(fields: Mapping, taxonomy: Taxonomy) -> Instances:
    """Instances of thing classes from the fields ``labels``, ``masks`` and maybe ``scores``."""
    missing = [key for key in ('labels', 'masks') if key not in fields]
    if missing:
        raise UserError(f'the instances have no {" and no ".join(missing)}, only {list(fields)}.')
    labels = as_array(fields['labels']).astype(np.int64)
    wrong = labels[(labels < 0) | (labels >= taxonomy.num_classes)]
    if len(wrong):
        raise UserError(
            f'an instance has the label {wrong[0]}, but the dataset has the '
            f'{taxonomy.num_classes} classes 0 to {taxonomy.num_classes - 1}.')
    keep = np.isin(labels, taxonomy.thing_ids)
    masks = fields['masks']
    if not keep.all():
        masks = masks[torch.as_tensor(keep) if isinstance(masks, Tensor) else keep]
    size, codes = encode_masks(masks)
    scores = as_array(fields['scores']) if 'scores' in fields else np.ones(len(labels))
    return Instances(size, labels[keep], scores[keep], np.zeros(len(codes), dtype=bool), codes)


def _truth(sample: Mapping, taxonomy: Taxonomy) -> Instances:
    truth = sample.get('gt_instances', {})
    if 'labels' in truth and 'masks' in truth:
        instances = _instances(truth, taxonomy)
        ignored = sample.get('ignored_instances', {})
        if len(ignored.get('labels', ())):
            return _with_crowd(instances, _instances(ignored, taxonomy))
        return instances
    if 'gt_panoptic_seg' not in sample:
        raise no_truth(
            'MaskAPMetric', '`gt_instances` with masks, `gt_panoptic_seg` or an `ann_file`')
    segments = truth_segments(sample, taxonomy.num_classes, 'MaskAPMetric')
    ids = torch.as_tensor(segments.segment_ids, device=segments.ids.device)
    instances = _instances(
        dict(labels=segments.labels, masks=segments.ids == ids[:, None, None]), taxonomy)
    crowd = segments.crowd[np.isin(segments.labels, taxonomy.thing_ids)]
    return Instances(instances.size, instances.labels, instances.scores, crowd, instances.codes)


def _with_crowd(instances: Instances, crowd: Instances) -> Instances:
    return Instances(
        instances.size, np.concatenate([instances.labels, crowd.labels]),
        np.concatenate([instances.scores, crowd.scores]),
        np.concatenate([instances.crowd, ~crowd.crowd]), instances.codes + crowd.codes)


def _annotations(instances: Instances, by_box: bool) -> list[dict]:
    """COCO annotations; ``area`` is that of the box if ``by_box``, else of the mask."""
    boxes = code_boxes(instances.size, instances.codes)
    areas = boxes[:, 2] * boxes[:, 3] if by_box else code_areas(instances.size, instances.codes)
    return [
        dict(category_id=int(instances.labels[i]), score=float(instances.scores[i]),
             area=float(areas[i]), bbox=boxes[i].tolist(), iscrowd=int(instances.crowd[i]),
             segmentation=dict(size=list(instances.size), counts=code.decode()))
        for i, code in enumerate(instances.codes)]


def _dataset(
        records: Sequence[ImageRecord], image_ids: Sequence[int], taxonomy: Taxonomy) -> dict:
    """A COCO data set of the records' truth, whose category ids are our labels."""
    annotations, images = [], []
    for record, image_id in zip(records, image_ids, strict=True):
        height, width = record.truth.size
        images.append(dict(id=image_id, height=height, width=width, file_name=record.name))
        for item in _annotations(record.truth, by_box=False):
            annotations.append(dict(item, id=len(annotations) + 1, image_id=image_id))
    categories = [dict(id=label, name=taxonomy.classes[label]) for label in taxonomy.thing_ids]
    return dict(images=images, annotations=annotations, categories=categories)


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
