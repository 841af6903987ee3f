"""Run-length codes of masks, as pycocotools makes them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from unimask.errors import UserError

Size = tuple[int, int]


class MaskStructure(Protocol):
    """What mmdet's bitmaps and polygons have."""

    def to_ndarray(self) -> np.ndarray:
        """(N, h, w)."""


Masks = Tensor | np.ndarray | MaskStructure


def encode_masks(masks: Masks) -> tuple[Size, list[bytes]]:
    """Encode the masks of one image.

    Args:
        masks: (N, h, w) of numbers (set where not 0), or mmdet's bitmaps or polygons.

    Returns:
        (h, w) and N compressed codes.

    Raises:
        UserError: If an array does not have three dimensions.
    """
    if hasattr(masks, 'to_ndarray'):
        masks = masks.to_ndarray()
    return _encode_array(torch.as_tensor(masks))


def _encode_array(masks: Tensor) -> tuple[Size, list[bytes]]:
    if masks.ndim != 3:
        raise UserError(f'masks must have the shape (N, h, w), but have {tuple(masks.shape)}.')
    # pycocotools wants (h, w, N) in column order, which is (N, w, h) in row order.
    columns = (masks != 0).transpose(1, 2).contiguous().cpu().numpy().view(np.uint8)
    codes = coco_mask.encode(columns.transpose(2, 1, 0)) if len(masks) else []
    return tuple(masks.shape[1:]), [code['counts'] for code in codes]


def code_areas(size: Size, counts: list[bytes]) -> np.ndarray:
    """(N,) pixels of each mask."""
    return np.asarray(coco_mask.area(_codes(size, counts)), dtype=np.int64).reshape(-1)


def code_boxes(size: Size, counts: list[bytes]) -> np.ndarray:
    """(N, 4) boxes x, y, width, height around each mask, zeros for an empty one."""
    return np.asarray(coco_mask.toBbox(_codes(size, counts)), dtype=float).reshape(-1, 4)


def _codes(size: Size, counts: list[bytes]) -> list[dict]:
    return [dict(size=list(size), counts=code) for code in counts]
