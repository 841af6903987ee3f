"""From data samples to segment targets.

What a sample carries decides: a panoptic map gives its segments; instances and a semantic map give
things by instance and stuff by class; one of them alone gives its instances or a segment per class
present.

Segments are made where the annotation lies. On the host, which is where ``ImagePreprocessor``
leaves it, the questions that have to be asked of it (which classes occur?) make nothing wait.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from unimask.errors import UserError, image_name
from unimask.structures import SegmentTargets, TargetBatch, Taxonomy
from unimask.structures.panoptic import segments_of


def make_target_batch(data_samples: Iterable, *, size: tuple[int, int], taxonomy: Taxonomy,
                      device: torch.device) -> TargetBatch:
    """Targets of a batch on a device, padded to the input's size (H, W).

    Raises:
        UserError: If a sample has no ground truth, a label is outside the taxonomy or the ground
            truth is larger than the input; the text names the image.
    """
    targets = []
    for sample in data_samples:
        try:
            targets.append(make_targets(sample, taxonomy).pad(size))
        except ValueError as error:
            raise UserError(f'Image {image_name(sample)}: {error}') from error
    return TargetBatch.stack(targets).to(device)


def make_targets(sample: object, taxonomy: Taxonomy) -> SegmentTargets:
    """The segments of one data sample of MMDetection or MMSegmentation."""
    panoptic = getattr(sample, 'gt_panoptic_seg', None)
    instances = getattr(sample, 'gt_instances', None)
    semantic = getattr(sample, 'gt_sem_seg', None)
    if panoptic is not None:
        return _from_panoptic(panoptic, taxonomy)
    if instances is not None and semantic is not None:
        targets = _from_both(instances, semantic, taxonomy)
    elif instances is not None:
        targets = SegmentTargets.from_masks(_bool_masks(instances), instances.labels)
    elif semantic is not None:
        targets = _from_semantic(semantic)
    else:
        raise ValueError(
            'the data sample has no ground truth: gt_panoptic_seg, gt_instances and gt_sem_seg '
            'are all missing. Does the training pipeline load annotations and pack them?')
    _check_labels(targets.labels, taxonomy)
    return targets


def _check_labels(labels: Tensor, taxonomy: Taxonomy) -> None:
    wrong = labels[(labels < 0) | (labels >= taxonomy.num_classes)]
    if len(wrong):
        raise ValueError(
            f'label {int(wrong[0])} is outside the {taxonomy.num_classes} classes of the data '
            f'set (0 to {taxonomy.num_classes - 1}): see the annotation and `metainfo.classes`.')


def _map_of(pixel_data: object) -> Tensor:
    """(H, W) integers of a PixelData in MMDetection's (sem_seg) or MMSegmentation's form (data)."""
    value = pixel_data.sem_seg if hasattr(pixel_data, 'sem_seg') else pixel_data.data
    return torch.as_tensor(value).squeeze(0)


def _from_panoptic(panoptic: object, taxonomy: Taxonomy) -> SegmentTargets:
    id_map = _map_of(panoptic)
    segments = segments_of(id_map, getattr(panoptic, 'segments_info', None),
                           num_classes=taxonomy.num_classes).without_crowd()
    return SegmentTargets.from_id_map(id_map, segments.ids.tolist(), segments.labels.tolist())


def _from_semantic(semantic: object, leave_out: Tensor | None = None) -> SegmentTargets:
    label_map = _map_of(semantic)
    labels = _values(label_map)
    labels = labels[labels != getattr(semantic, 'ignore_index', 255)]
    if leave_out is not None:
        labels = labels[~torch.isin(labels, leave_out)]
    return SegmentTargets.from_id_map(label_map, labels, labels)


def _values(label_map: Tensor) -> Tensor:
    """Which values occur. Counting is many times faster than ``unique``, which sorts pixels."""
    if label_map.min() < 0:
        return label_map.unique().long()
    return label_map.flatten().bincount().nonzero()[:, 0]


def _from_both(instances: object, semantic: object, taxonomy: Taxonomy) -> SegmentTargets:
    masks = _bool_masks(instances)
    things = torch.tensor(taxonomy.thing_ids, device=masks.device)
    stuff = _from_semantic(semantic, leave_out=things)
    return SegmentTargets.from_masks(
        torch.cat([masks, stuff.dense().to(masks.device)]),
        torch.cat([instances.labels, stuff.labels.to(masks.device)]))


def _bool_masks(instances: object) -> Tensor:
    """(N, H, W) bool on the labels' device, from a tensor or MMDetection's mask structures."""
    masks = instances.masks
    if not isinstance(masks, Tensor):
        array = masks if isinstance(masks, np.ndarray) else masks.to_ndarray()
        masks = torch.from_numpy(array)
    return masks.to(device=instances.labels.device, dtype=torch.bool)
