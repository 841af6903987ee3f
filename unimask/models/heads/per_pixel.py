"""Per-pixel classification.

Shapes: L = 1 prediction, B batch, K classes, C mask dimension, (h, w) mask features.
"""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn

from unimask.models.layers import published_conv
from unimask.registry import MODELS
from unimask.structures import DensePrediction, PixelFeatures, TargetBatch


@MODELS.register_module()
class PerPixelHead(BaseModule):
    """Classes of every pixel by a 1x1 convolution (MaskFormer, section 4, "PerPixelBaseline").

    Args:
        num_classes: K; the segmentor fills it in from its taxonomy.
        mask_channels: C; filled in from the pixel decoder.
        dropout: Of whole channels, before the convolution.
        init_cfg: As in MMEngine, instead of the published initialisation of MaskFormer.

    Attributes:
        tasks: What can be read out of its predictions.
        class_parameters: Parts whose shapes depend on the number of classes.
    """

    tasks = ('semantic',)
    class_parameters: tuple[str, ...] = ('classifier',)

    def __init__(self, *, num_classes: int, mask_channels: int = 256,
                 dropout: float = 0.0, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = published_conv(mask_channels, num_classes, 1)

    def forward(self, pixels: PixelFeatures, targets: TargetBatch | None = None
                ) -> DensePrediction:
        """Logits (1, B, K, h, w); ``targets`` are not looked at."""
        return DensePrediction(self.logits(pixels.mask_features)[None])

    def logits(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, K, h, w)."""
        return self.classifier(self.dropout(features))
