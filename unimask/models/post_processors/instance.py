"""Instance segmentation from queries.

Shapes: Q queries, K classes, D detections, U queries among them, (H, W) output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from unimask.models.post_processors.readout import MaskReadout
from unimask.registry import MODELS
from unimask.structures import Taxonomy
from unimask.structures.masks import mask_boxes


@MODELS.register_module()
@dataclass(frozen=True, kw_only=True)
class InstancePostProcessor:
    """The best (query, class) pairs; class score times mean mask probability (Mask2Former).

    Attributes:
        max_per_image: Pairs that are kept before stuff classes are dropped.
    """

    field: ClassVar[str] = 'pred_instances'
    max_per_image: int = 100

    def __call__(self, readout: MaskReadout, taxonomy: Taxonomy) -> InstanceData:
        """Detections of thing classes, best class score first.

        Returns:
            ``labels`` (D,) int64, ``scores`` (D,), ``masks`` (D, H, W) bool and ``bboxes`` (D, 4):
            x1 y1 x2 y2 of the masks, right and bottom exclusive, zeros if empty.
        """
        probabilities = readout.class_logits.softmax(-1)[:, :-1].flatten()
        scores, index = probabilities.topk(min(self.max_per_image, len(probabilities)))
        labels = index % readout.num_classes
        things = torch.tensor(taxonomy.things, device=labels.device)[labels]
        scores, index, labels = scores[things], index[things], labels[things]
        queries, where = (index // readout.num_classes).unique(return_inverse=True)
        masks, confidence = _masks(readout, queries)
        return InstanceData(labels=labels, scores=scores * confidence[where],
                            masks=masks[where], bboxes=mask_boxes(masks)[where])


def _masks(readout: MaskReadout, queries: Tensor) -> tuple[Tensor, Tensor]:
    """Binary masks (U, H, W) and their mean probability inside (U,)."""
    masks = torch.zeros(
        (len(queries), *readout.plan.output), dtype=torch.bool, device=queries.device)
    inside = torch.zeros(len(queries), device=queries.device)
    if len(queries) == 0:
        return masks, inside
    for tile, logits in readout.tiles(queries):
        torch.gt(logits, 0, out=masks[:, tile])
        inside += (logits.sigmoid() * masks[:, tile]).sum((1, 2))
    return masks, inside / (masks.sum((1, 2)) + 1e-6)
