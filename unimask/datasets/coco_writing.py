"""Writing annotation files in COCO's formats, for converters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from unimask.checkpoints import atomic_write_text
from unimask.structures.masks import mask_boxes
from unimask.structures.panoptic import colour_ids
from unimask.utils.rle import run_length_code

__all__ = ['box_around', 'instance_entry', 'write_json', 'write_segment_ids']


def box_around(mask: np.ndarray) -> list[int]:
    """Box x, y, width, height around a mask (h, w) that is not empty."""
    x0, y0, x1, y1 = mask_boxes(torch.from_numpy(mask)[None])[0].int().tolist()
    return [x0, y0, x1 - x0, y1 - y0]


def instance_entry(mask: np.ndarray, *, image_id: int | str, category_id: int,
                   iscrowd: bool = False) -> dict:
    """Entry of an instance file, yet without ``id``; the mask (h, w) is run-length coded."""
    return dict(image_id=image_id, category_id=category_id, iscrowd=int(iscrowd),
                area=int(np.count_nonzero(mask)), bbox=box_around(mask),
                segmentation=run_length_code(mask))


def write_segment_ids(path: Path, ids: np.ndarray) -> None:
    """Write segment ids (h, w) as a panoptic PNG: id = R + 256 G + 65536 B."""
    Image.fromarray(colour_ids(ids)).save(path)


def write_json(path: Path, *, images: Sequence[dict], annotations: Sequence[dict],
               categories: Sequence[dict]) -> None:
    """Write an annotation file; it takes its place only when complete."""
    atomic_write_text(json.dumps(
        dict(images=images, annotations=annotations, categories=categories)), path)
