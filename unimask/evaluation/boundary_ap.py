"""Boundary AP: pycocotools with another overlap.

Shapes: N detections, M true objects of one class in one image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.cocoeval import COCOeval

from unimask.evaluation.boundary import mask_boundary

__all__ = ['BoundaryEvaluation']


class BoundaryEvaluation(COCOeval):
    """COCO's evaluation with min(mask IoU, boundary IoU) as overlap.

    So it is in section 5 of "Boundary IoU" (Cheng et al., CVPR 2021). Crowd regions, which have no
    contour of their own, keep their mask overlap.
    """

    def computeIoU(self, imgId: int, catId: int) -> np.ndarray | list:
        """(N, M) overlaps, best score first."""
        overlaps = super().computeIoU(imgId, catId)
        truth, found = self._gts[imgId, catId], self._dts[imgId, catId]
        if not truth or not found:
            return overlaps
        order = np.argsort([-one['score'] for one in found], kind='mergesort')[:len(overlaps)]
        boundaries = coco_mask.iou(
            _boundaries([found[index] for index in order]), _boundaries(truth), [0] * len(truth))
        crowd = np.array([bool(one['iscrowd']) for one in truth])
        return np.where(crowd, overlaps, np.minimum(overlaps, boundaries))


def _boundaries(objects: Sequence[dict]) -> list[dict]:
    """Run-length codes of the boundaries of COCO annotations with run-length codes."""
    masks = (coco_mask.decode(one['segmentation']) for one in objects)
    return [coco_mask.encode(np.asfortranarray(mask_boundary(mask), np.uint8)) for mask in masks]
