"""Reads what a data sample says, truth or prediction, into arrays that can be drawn.

Shapes: H, W size of the annotation, N segments or instances.
"""
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from mmdet.structures import INSTANCE_OFFSET, DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from unimask.structures.taxonomy import Taxonomy

__all__ = [
    'FIELDS', 'Instances', 'Panoptic', 'field_of', 'instances_from', 'panoptic_from', 'resize_map',
    'semantic_from',
]

# In this order the tasks are preferred.
FIELDS = dict(panoptic='panoptic_seg', instance='instances', semantic='sem_seg')


@dataclass(frozen=True)
class Panoptic:
    """Segments that do not overlap.

    Attributes:
        segment_map: (H, W) int32, 1..N, 0 = void.
        labels: (N,) classes.
        scores: (N,), None for truth.
    """

    segment_map: np.ndarray
    labels: list[int]
    scores: list[float] | None


@dataclass(frozen=True)
class Instances:
    """Instances that may overlap.

    Attributes:
        masks: (N, H, W) bool.
        labels: (N,) classes.
        scores: (N,), None for truth.
    """

    masks: np.ndarray
    labels: list[int]
    scores: list[float] | None


def panoptic_from(data: PixelData, taxonomy: Taxonomy) -> Panoptic:
    """Read a panoptic map: ids that ``segments_info`` explains, or mmdet's encoding without it.

    That is class + INSTANCE_OFFSET * number, and the class count for void.
    """
    ids = _map(data.sem_seg)
    infos = data.get('segments_info')
    if infos is None:
        present = np.unique(ids)
        labels = present % INSTANCE_OFFSET
        infos = [dict(id=int(number), category=int(label))
                 for number, label in zip(present, labels, strict=True)
                 if 0 <= label < taxonomy.num_classes]
    segment_map = np.zeros(ids.shape, np.int32)
    for number, info in enumerate(infos, 1):
        segment_map[ids == info['id']] = number
    scores = [float(info['score']) for info in infos if 'score' in info]
    return Panoptic(segment_map, [int(info['category']) for info in infos],
                    scores if infos and len(scores) == len(infos) else None)


def instances_from(data: InstanceData, min_score: float) -> Instances:
    """Read instances; those with a score below ``min_score`` are left out."""
    labels = _array(data.labels).astype(np.int64)
    masks = _masks(data.masks)
    if 'scores' not in data:
        return Instances(masks, labels.tolist(), None)
    scores = _array(data.scores)
    kept = scores >= min_score
    return Instances(masks[kept], labels[kept].tolist(), scores[kept].tolist())


def semantic_from(data: PixelData) -> np.ndarray:
    """Read a map of classes (H, W) int64; the ignored pixels become -1."""
    label_map = _map(data.sem_seg).astype(np.int64)
    label_map[label_map == data.get('ignore_index', 255)] = -1
    return label_map


def field_of(sample: DetDataSample, source: str, task: str) -> BaseDataElement | None:
    """What ``sample`` has for a task; ``source`` is ``gt`` or ``pred``."""
    data = sample.get(f'{source}_{FIELDS[task]}')
    if data is None or task == 'instance' and 'masks' not in data:
        return None
    return data


def resize_map(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest-neighbour resize of a map (H, W) of numbers."""
    if values.shape == (height, width):
        return values
    resized = cv2.resize(values.astype(np.int32), (width, height),
                         interpolation=cv2.INTER_NEAREST)
    return resized.astype(values.dtype)


def _map(values: torch.Tensor | np.ndarray) -> np.ndarray:
    array = _array(values)
    return array.reshape(array.shape[-2:])


def _array(values: torch.Tensor | np.ndarray | list) -> np.ndarray:
    return values.detach().cpu().numpy() if torch.is_tensor(values) else np.asarray(values)


def _masks(masks: BitmapMasks | PolygonMasks | torch.Tensor | np.ndarray) -> np.ndarray:
    if isinstance(masks, BitmapMasks | PolygonMasks):
        masks = masks.to_ndarray()
    return _array(masks).astype(bool)
