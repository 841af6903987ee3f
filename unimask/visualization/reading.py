"""Reads what a data sample says, truth or prediction, into arrays that can be drawn.

Shapes: H, W size of the annotation, N segments or instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from unimask.data_sample import DataSample
from unimask.structures.arrays import as_array
from unimask.structures.masks import PackedMasks
from unimask.structures.panoptic import lookup, segments_of
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
        masks: N masks (H, W) bool, each made when it is asked for.
        labels: (N,) classes.
        scores: (N,), None for truth.
    """

    masks: Sequence[np.ndarray]
    labels: list[int]
    scores: list[float] | None


def panoptic_from(data: PixelData, taxonomy: Taxonomy) -> Panoptic:
    """Read a panoptic map, see :mod:`unimask.structures.panoptic`; other ids are void."""
    ids = torch.from_numpy(_map(data.sem_seg))
    found = segments_of(ids, data.get('segments_info'), num_classes=taxonomy.num_classes)
    numbers = np.arange(1, len(found) + 1)
    segment_map = lookup(ids, found.ids, numbers, other=0, dtype=torch.int32).numpy()
    scores = None if found.scores is None else found.scores.tolist()
    return Panoptic(segment_map, found.labels.tolist(), scores)


def instances_from(data: InstanceData, min_score: float) -> Instances:
    """Read instances; those with a score below ``min_score`` are left out."""
    labels = as_array(data.labels).astype(np.int64)
    scores = as_array(data.scores) if 'scores' in data else None
    kept = np.flatnonzero(np.ones(len(labels), bool) if scores is None else scores >= min_score)
    masks = data.masks
    if hasattr(masks, 'to_ndarray'):  # mmdet's bitmaps and polygons
        masks = masks.to_ndarray()
    return Instances(_Masks(masks, kept), labels[kept].tolist(),
                     None if scores is None else scores[kept].tolist())


class _Masks(Sequence):
    """Some of many masks, as bool arrays, one at a time."""

    def __init__(self, masks: torch.Tensor | np.ndarray | PackedMasks, kept: np.ndarray) -> None:
        self._masks = masks
        self._kept = kept.tolist()

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> np.ndarray:
        return as_array(self._masks[self._kept[index]]).astype(bool, copy=False)


def semantic_from(data: PixelData) -> np.ndarray:
    """Read a map of classes (H, W) int32; the ignored pixels become -1."""
    label_map = _map(data.sem_seg).astype(np.int32)
    label_map[label_map == data.get('ignore_index', 255)] = -1
    return label_map


def field_of(sample: DataSample, source: str, task: str) -> BaseDataElement | None:
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
    array = as_array(values)
    return array.reshape(array.shape[-2:])
