"""SeMask's semantic decoder, without parameters.

Shapes: B batch, K classes, (h_i, w_i) scores of stage i, each side half of the one before.
"""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from unimask.errors import UserError
from unimask.registry import MODELS
from unimask.structures import BackboneFeatures, DensePrediction


@MODELS.register_module()
class SemanticPriorHead(BaseModule):
    """The sum of the stages' class scores at the finest size (SeMask, section 3.2).

    For an auxiliary branch, ``auxiliary=dict(aux=dict(head=...))``: called in training, and at test
    time where ``test_cfg.prior`` asks for it.

    Args:
        num_classes: K; the segmentor fills it in from its taxonomy.
        align_corners: How the maps are resized: as published, with aligned corners for mask
            classifiers, without for SeMask-FPN.

    Raises:
        UserError: When called, if the encoder makes no class scores or those of other classes.
    """

    def __init__(self, *, num_classes: int, align_corners: bool = False) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.align_corners = align_corners

    def forward(self, features: BackboneFeatures) -> DensePrediction:
        """Logits (1, B, K, h_0, w_0)."""
        self._check(features)
        total, *coarser = features.semantic
        for stage, scores in enumerate(coarser, start=1):
            # Step by step: where sizes are odd, one resize would give other numbers.
            for _ in range(stage):
                scores = self._resize(scores, (2 * scores.shape[-2], 2 * scores.shape[-1]))
            total = total + self._resize(scores, total.shape[-2:])
        return DensePrediction(total[None])

    def _resize(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(scores, size, mode='bilinear', align_corners=self.align_corners)

    def _check(self, features: BackboneFeatures) -> None:
        if not features.semantic:
            raise UserError(
                'SemanticPriorHead adds up the class scores of an encoder, and model.backbone '
                "makes none. Decorate it: backbone=dict(type='SeMaskEncoder', encoder=...), or "
                'leave out model.auxiliary.')
        found = features.semantic[0].shape[1]
        if found != self.num_classes:
            raise UserError(
                f'the encoder scores {found} classes, the data have {self.num_classes}: labels '
                'could not be compared with the scores. Leave out model.backbone.num_classes, '
                'which is filled in, or leave out model.auxiliary.')
