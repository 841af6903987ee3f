"""Run-length codes of masks."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as rle

__all__ = ['run_length_code']


def run_length_code(mask: np.ndarray) -> dict:
    """COCO's compressed code of a mask (H, W), ready for JSON: dict(size=[H, W], counts=text)."""
    code = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=[int(side) for side in code['size']], counts=code['counts'].decode('ascii'))
