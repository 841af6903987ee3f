"""What heads with queries have in common: the predictor of classes and masks at the end.

Shapes: B batch, Q queries, K classes, C width, C_m mask dimension.
"""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn

from unimask.models.layers import MLP, Linear


class QueryHead(BaseModule):
    """Base of heads whose queries predict a class and a mask each (MaskFormer, section 3.4).

    Its parameters are the head's own, so that every query head has the same names for them.

    Args:
        num_classes: K; None for queries that predict masks alone.
        mask_channels: C_m.
        channels: C.

    Attributes:
        tasks: What can be read out of its predictions.
        class_parameters: Parts whose shapes depend on the number of classes.
    """

    tasks = ('semantic', 'instance', 'panoptic')
    class_parameters: tuple[str, ...] = ('class_embed',)

    def __init__(self, *, num_classes: int | None, mask_channels: int, channels: int) -> None:
        super().__init__()
        self.decoder_norm = nn.LayerNorm(channels)
        if num_classes is not None:
            self.class_embed = Linear(channels, num_classes + 1)
        self.mask_embed = MLP(
            inputs=channels, hidden=channels, outputs=mask_channels, num_layers=3)

    def classify(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (..., Q, K + 1) and mask embeddings (..., Q, C_m) of queries (..., Q, C)."""
        normed = self.decoder_norm(states)
        return self.class_embed(normed), self.mask_embed(normed)
