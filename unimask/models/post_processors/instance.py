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
from unimask.structures.masks import PackedMasks, boxes_of_extents, pack_bits


@MODELS.register_module()
@dataclass(frozen=True, kw_only=True)
class InstancePostProcessor:
    """The best (query, class) pairs; class score times mean mask probability (Mask2Former).

    Attributes:
        max_per_image: Pairs that are kept before stuff classes are dropped.
        min_score: Detections with a lower score are left out, most of them before their masks
            are made: the mean probability only lowers a class score.
        packed: Keep the masks as ``PackedMasks``, in an eighth of the memory.
    """

    field: ClassVar[str] = 'pred_instances'
    max_per_image: int = 100
    min_score: float = 0.0
    packed: bool = False

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
        kept = things & (scores >= self.min_score)
        scores, index, labels = scores[kept], index[kept], labels[kept]
        queries, where = (index // readout.num_classes).unique(return_inverse=True)
        masks, boxes, confidence = _masks(readout, queries, where, packed=self.packed)
        scores = scores * confidence
        kept = scores >= self.min_score
        if not kept.all():  # indexing would copy the masks
            labels, scores, masks, boxes = labels[kept], scores[kept], masks[kept], boxes[kept]
        return InstanceData(labels=labels, scores=scores, masks=masks, bboxes=boxes)


def _masks(readout: MaskReadout, queries: Tensor, where: Tensor, *, packed: bool
           ) -> tuple[Tensor | PackedMasks, Tensor, Tensor]:
    """Binary masks, their boxes and their mean probability inside, band by band of the output.

    Nothing but the result is as large as the output times the masks.

    Args:
        readout: The prediction.
        queries: (U,).
        where: (D,) index of each detection among the queries.
        packed: Whether the masks are ``PackedMasks``.

    Returns:
        (D, H, W), (D, 4), (D,).
    """
    height, width = readout.plan.output
    count, device = len(queries), queries.device
    stored = -(-width // 8) if packed else width
    masks = torch.zeros((len(where), height, stored), device=device,
                        dtype=torch.uint8 if packed else torch.bool)
    rows = torch.zeros((count, height), dtype=torch.bool, device=device)
    columns = torch.zeros((count, width), dtype=torch.bool, device=device)
    inside = torch.zeros(count, device=device)
    area = torch.zeros(count, dtype=torch.int64, device=device)
    for tile, logits in readout.tiles(queries) if count else ():
        hit = logits > 0
        masks[:, tile] = (pack_bits(hit) if packed else hit)[where]
        inside += (logits.sigmoid() * hit).sum((1, 2))
        area += hit.sum((1, 2))
        rows[:, tile] = hit.any(2)
        columns |= hit.any(1)
    return (PackedMasks(masks, width) if packed else masks,
            boxes_of_extents(columns, rows)[where], (inside / (area + 1e-6))[where])
