"""Instances of one image as the AP metric keeps them, and as COCO annotations.

Shapes: N instances of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unimask.errors import UserError
from unimask.evaluation.rle import code_areas, code_boxes, encode_masks
from unimask.evaluation.samples import no_truth, truth_segments
from unimask.structures.arrays import as_array
from unimask.structures.taxonomy import Taxonomy

__all__ = ['ImageRecord', 'Instances', 'annotations', 'coco_dataset', 'instances_of',
           'true_instances']


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


def instances_of(fields: Mapping, taxonomy: Taxonomy) -> Instances:
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


def true_instances(sample: Mapping, taxonomy: Taxonomy) -> Instances:
    """True instances of thing classes of a sample, crowd regions included."""
    truth = sample.get('gt_instances', {})
    if 'labels' in truth and 'masks' in truth:
        instances = instances_of(truth, taxonomy)
        ignored = sample.get('ignored_instances', {})
        if len(ignored.get('labels', ())):
            return _with_crowd(instances, instances_of(ignored, taxonomy))
        return instances
    if 'gt_panoptic_seg' not in sample:
        raise no_truth(
            'MaskAPMetric', '`gt_instances` with masks, `gt_panoptic_seg` or an `ann_file`')
    segments = truth_segments(sample, taxonomy.num_classes, 'MaskAPMetric')
    ids = torch.as_tensor(segments.segment_ids, device=segments.ids.device)
    instances = instances_of(
        dict(labels=segments.labels, masks=segments.ids == ids[:, None, None]), taxonomy)
    crowd = segments.crowd[np.isin(segments.labels, taxonomy.thing_ids)]
    return Instances(instances.size, instances.labels, instances.scores, crowd, instances.codes)


def _with_crowd(instances: Instances, crowd: Instances) -> Instances:
    return Instances(
        instances.size, np.concatenate([instances.labels, crowd.labels]),
        np.concatenate([instances.scores, crowd.scores]),
        np.concatenate([instances.crowd, ~crowd.crowd]), instances.codes + crowd.codes)


def annotations(instances: Instances, by_box: bool) -> list[dict]:
    """COCO annotations; ``area`` is that of the box if ``by_box``, else of the mask."""
    boxes = code_boxes(instances.size, instances.codes)
    areas = boxes[:, 2] * boxes[:, 3] if by_box else code_areas(instances.size, instances.codes)
    return [
        dict(category_id=int(instances.labels[i]), score=float(instances.scores[i]),
             area=float(areas[i]), bbox=boxes[i].tolist(), iscrowd=int(instances.crowd[i]),
             segmentation=dict(size=list(instances.size), counts=code.decode()))
        for i, code in enumerate(instances.codes)]


def coco_dataset(
        records: Sequence[ImageRecord], image_ids: Sequence[int], taxonomy: Taxonomy) -> dict:
    """A COCO data set of the records' truth, whose category ids are our labels."""
    entries, images = [], []
    for record, image_id in zip(records, image_ids, strict=True):
        height, width = record.truth.size
        images.append(dict(id=image_id, height=height, width=width, file_name=record.name))
        for item in annotations(record.truth, by_box=False):
            entries.append(dict(item, id=len(entries) + 1, image_id=image_id))
    categories = [dict(id=label, name=taxonomy.classes[label]) for label in taxonomy.thing_ids]
    return dict(images=images, annotations=entries, categories=categories)
