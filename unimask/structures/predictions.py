"""What heads predict.

Shapes: L predictions (the final one last), B batch, Q queries, K classes, C mask dimension,
(h, w) size of the mask features or of the dense logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unimask.structures.matches import Matches


@dataclass(frozen=True)
class MaskPrediction:
    """Classes and lazy masks of all queries, for every supervised prediction.

    A mask is the inner product of a query's embedding with the mask features (Mask2Former,
    section 3.1); only :meth:`mask_logits` makes one.

    Attributes:
        class_logits: (L, B, Q, K + 1), no-object last.
        mask_embeddings: (L, B, Q, C).
        mask_features: (B, C, h, w).
        piloted: Predictions of further queries whose segments are known; in training only.
    """

    class_logits: Tensor
    mask_embeddings: Tensor
    mask_features: Tensor
    piloted: Piloted | None = None

    @property
    def num_predictions(self) -> int:
        """L."""
        return self.class_logits.shape[0]

    @property
    def num_classes(self) -> int:
        """K, without no-object."""
        return self.class_logits.shape[-1] - 1

    def mask_logits(self, layer: int = -1) -> Tensor:
        """Masks of one prediction, (B, Q, h, w)."""
        return torch.einsum('bqc,bchw->bqhw', self.mask_embeddings[layer], self.mask_features)


@dataclass(frozen=True)
class Piloted:
    """Predictions of queries whose segments are known beforehand (MP-Former, section 3.2).

    Attributes:
        prediction: Its mask features are those of the matching queries.
        matches: The known pairs.
    """

    prediction: MaskPrediction
    matches: Matches


@dataclass(frozen=True)
class DensePrediction:
    """Class logits of every pixel, from a head without queries.

    Attributes:
        logits: (L, B, K, h, w).
    """

    logits: Tensor

    @property
    def num_predictions(self) -> int:
        """L."""
        return self.logits.shape[0]

    @property
    def num_classes(self) -> int:
        """K."""
        return self.logits.shape[2]
