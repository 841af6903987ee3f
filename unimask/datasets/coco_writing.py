"""Writing annotation files in COCO's formats, for converters."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from unimask.checkpoints import atomic_write_text

__all__ = ['box_around', 'instance_entry', 'write_json', 'write_segment_ids']


def box_around(mask: np.ndarray) -> list[int]:
    """Box x, y, width, height around a mask (h, w) that is not empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]


def instance_entry(mask: np.ndarray, *, image_id: int | str, category_id: int,
                   iscrowd: bool = False) -> dict:
    """Entry of an instance file, yet without ``id``; the mask (h, w) is run-length coded."""
    code = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(image_id=image_id, category_id=category_id, iscrowd=int(iscrowd),
                area=int(np.count_nonzero(mask)), bbox=box_around(mask),
                segmentation=dict(size=list(mask.shape), counts=code['counts'].decode('ascii')))


def write_segment_ids(path: Path, ids: np.ndarray) -> None:
    """Write segment ids (h, w) as a panoptic PNG: id = R + 256 G + 65536 B."""
    rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1)
    Image.fromarray(rgb.astype(np.uint8)).save(path)


def write_json(path: Path, *, images: Sequence[dict], annotations: Sequence[dict],
               categories: Sequence[dict]) -> None:
    """Write an annotation file; it takes its place only when complete."""
    atomic_write_text(json.dumps(
        dict(images=images, annotations=annotations, categories=categories)), path)
