"""Panoptic maps: ids of pixels and the segments that they stand for.

Two encodings are read. With a list of segments (``segments_info``, as in COCO's files) ids are
arbitrary. Without one an id says the class itself, as in MMDetection:
``class + INSTANCE_OFFSET * number``, the class count K standing for void.

Shapes: (h, w) pixels, N segments, P ids that occur, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unimask.errors import UserError

__all__ = [
    'INSTANCE_OFFSET', 'PanopticSegments', 'colour_ids', 'dense_ids', 'encode_id', 'ids_of_colours',
    'lookup', 'segment_entry', 'segments_of',
]

INSTANCE_OFFSET = 1000  # MMDetection's
# Ids below this are made dense through a table; larger ones (RGB-coded maps) by sorting.
_TABLE_SIZE = 1 << 20


@dataclass(frozen=True)
class PanopticSegments:
    """What the ids of one panoptic map stand for.

    Attributes:
        ids: (N,) int64, each once.
        labels: (N,) int64, their classes.
        crowd: (N,) bool, whether a segment is a region of several objects.
        scores: (N,) float64; None where they are not stated.
        void: The id of pixels that belong to no segment.
    """

    ids: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    scores: np.ndarray | None
    void: int

    def __len__(self) -> int:
        return len(self.ids)

    def without_crowd(self) -> PanopticSegments:
        """Those that are single objects or stuff, for training."""
        if not self.crowd.any():
            return self
        kept = ~self.crowd
        scores = None if self.scores is None else self.scores[kept]
        return PanopticSegments(self.ids[kept], self.labels[kept], self.crowd[kept], scores,
                                self.void)


def segments_of(id_map: Tensor, infos: Sequence[Mapping] | None, *, num_classes: int,
                listed_void: int = 0) -> PanopticSegments:
    """Segments of a map, from their list or, without one, from the ids themselves.

    The map is looked at only where there is no list: with one, nothing waits for a GPU.

    Args:
        id_map: (h, w) integers.
        infos: Per segment ``id`` and ``category`` (label), optionally ``iscrowd`` and ``score``.
        num_classes: K.
        listed_void: The id of void where there is a list: 0 in annotations, K in predictions.

    Raises:
        UserError: A label is outside of the classes, an id is listed twice, an entry lacks its
            id or category, or there are too many classes for ids without a list.
    """
    if infos is None:
        if num_classes > INSTANCE_OFFSET:
            raise UserError(f'a panoptic map of {num_classes} classes needs segments_info: ids '
                            f'alone tell at most {INSTANCE_OFFSET} classes apart.')
        ids = dense_ids(id_map)[0].cpu().numpy().astype(np.int64)
        ids = ids[ids != num_classes]
        found = PanopticSegments(ids, ids % INSTANCE_OFFSET, np.zeros(len(ids), bool), None,
                                 num_classes)
    else:
        found = _listed(infos, listed_void)
    _check(found, num_classes)
    return found


def _listed(infos: Sequence[Mapping], void: int) -> PanopticSegments:
    for number, info in enumerate(infos):
        if info.get('id') is None or info.get('category') is None:
            raise UserError(f'segments_info: entry {number} has no `id` or no `category`: '
                            f'{dict(info)}.')
    scores = [info['score'] for info in infos if info.get('score') is not None]
    return PanopticSegments(
        ids=np.array([int(info['id']) for info in infos], np.int64),
        labels=np.array([int(info['category']) for info in infos], np.int64),
        crowd=np.array([bool(info.get('iscrowd', False)) for info in infos], bool),
        scores=np.array(scores, float) if infos and len(scores) == len(infos) else None, void=void)


def _check(segments: PanopticSegments, num_classes: int) -> None:
    wrong = np.flatnonzero((segments.labels < 0) | (segments.labels >= num_classes))
    if len(wrong):
        raise UserError(
            f'segment {segments.ids[wrong[0]]} has the label {segments.labels[wrong[0]]}, but the '
            f'dataset has the {num_classes} classes 0 to {num_classes - 1}: see the annotation '
            'and `metainfo.classes`.')
    ids, counts = np.unique(segments.ids, return_counts=True)
    if len(ids) < len(segments):
        raise UserError(f'segments_info lists the id {ids[counts > 1][0]} more than once.')


def encode_id(label: int, number: int = 0) -> int:
    """MMDetection's id of a segment: things are numbered from 1, stuff has 0."""
    return label + number * INSTANCE_OFFSET


def segment_entry(label: int, *, number: int = 0, score: float, area: int) -> dict:
    """An entry of a prediction's ``segments_info``: id, category, score and area in pixels."""
    return dict(id=encode_id(label, number), category=label, score=score, area=area)


def dense_ids(ids: Tensor) -> tuple[Tensor, Tensor]:
    """The ids in a map, and each pixel's index among them.

    Counting is many times faster than ``unique``, which sorts all pixels.

    Args:
        ids: (h, w) integers.

    Returns:
        (P,) int64, sorted, and (h*w,) int64.
    """
    flat = ids.reshape(-1).long()
    if flat.numel() and flat.min() >= 0 and flat.max() < _TABLE_SIZE:
        present = torch.bincount(flat) > 0
        return present.nonzero().flatten(), (present.cumsum(0) - 1).index_select(0, flat)
    return torch.unique(flat, return_inverse=True)


def lookup(id_map: Tensor, ids: Sequence[int] | np.ndarray, values: Sequence[int] | np.ndarray, *,
           other: int, dtype: torch.dtype = torch.int64) -> Tensor:
    """Replace every listed id by its value, and all else by ``other``.

    Args:
        id_map: (h, w) integers.
        ids: (N,).
        values: (N,).
        other: See above.
        dtype: Of the result.

    Returns:
        (h, w).
    """
    ids = torch.as_tensor(np.asarray(ids, np.int64), device=id_map.device)
    values = torch.as_tensor(np.asarray(values, np.int64), device=id_map.device).to(dtype)
    if id_map.numel() == 0 or id_map.min() < 0 or id_map.max() >= _TABLE_SIZE:
        present, position = dense_ids(id_map)
        value_of = dict(zip(ids.tolist(), values.tolist(), strict=True))
        table = [value_of.get(identity, other) for identity in present.tolist()]
        table = torch.as_tensor(table, dtype=dtype, device=id_map.device)
        return table.index_select(0, position).view(id_map.shape)
    table = torch.full((int(id_map.max()) + 1,), other, dtype=dtype, device=id_map.device)
    occurs = (ids >= 0) & (ids < len(table))
    table[ids[occurs]] = values[occurs]
    index = id_map if id_map.dtype in (torch.int32, torch.int64) else id_map.long()
    return table.index_select(0, index.reshape(-1)).view(id_map.shape)


def colour_ids(ids: np.ndarray) -> np.ndarray:
    """COCO's PNG of ids below 2**24: (h, w) -> (h, w, 3) uint8, id = R + 256 G + 65536 B."""
    little_endian = np.ascontiguousarray(ids, '<u4').view(np.uint8)
    return np.ascontiguousarray(little_endian.reshape(*ids.shape, 4)[..., :3])


def ids_of_colours(rgb: np.ndarray) -> np.ndarray:
    """The inverse of :func:`colour_ids`: (h, w, 3) -> (h, w) int32."""
    rgb = rgb.astype(np.int32)
    return rgb[..., 0] | rgb[..., 1] << 8 | rgb[..., 2] << 16
