"""One image's final prediction, whose masks are made band by band.

Shapes: Q queries, K classes, C mask dimension, (h, w) mask features, (H, W) output.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from unimask.ops.resize import ResizePlan, resize_maps, row_tiles, used_band
from unimask.structures import MaskPrediction


@dataclass(frozen=True)
class Readout:
    """What post-processors read.

    Attributes:
        class_logits: (Q, K + 1), no-object last.
        embeddings: (Q, C).
        features: (C, h, w).
        plan: From (h, w) to the output size.
    """

    class_logits: Tensor
    embeddings: Tensor
    features: Tensor
    plan: ResizePlan

    @classmethod
    def of(cls, prediction: MaskPrediction, image: int, *, padded: tuple[int, int],
           size: tuple[int, int], output: tuple[int, int]) -> Readout:
        """The last prediction of one image of a batch, float32."""
        features = prediction.mask_features[image].float()
        return cls(
            prediction.class_logits[-1, image].float(),
            prediction.mask_embeddings[-1, image].float(), features,
            ResizePlan(tuple(features.shape[-2:]), padded, size, output))

    @property
    def num_classes(self) -> int:
        """K."""
        return self.class_logits.shape[1] - 1

    def maps(self, queries: Tensor | None = None) -> Tensor:
        """Mask logits of the queries (all if None) at the features' size, (Q, h, w)."""
        chosen = self.embeddings if queries is None else self.embeddings[queries]
        return (chosen @ self.features.flatten(1)).unflatten(1, self.plan.source)

    def tiles(self, queries: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
        """Output rows and the queries' mask logits there, (Q, rows, W)."""
        maps = self.maps(queries)
        rows, columns = self.plan.whole(0), self.plan.whole(1)
        for tile in row_tiles(*self.plan.output, len(maps)):
            yield tile, resize_maps(maps, rows[tile], columns)

    def score_tiles(self, class_scores: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Output rows and class scores there, where scores are resized instead of logits.

        Published semantic models make the scores at the padded input size, crop and resize
        them (reference text, section 4.1).

        Args:
            class_scores: (Q, K).

        Yields:
            Rows and (K, rows, W).
        """
        maps = self.maps()
        first_rows, first_columns = self.plan.first(0), self.plan.first(1)
        second_rows, second_columns = self.plan.second(0), self.plan.second(1)
        same = self.plan.image == self.plan.output
        for tile in row_tiles(*self.plan.output, sum(class_scores.shape)):
            band = tile if same else used_band(second_rows[tile])
            masks = resize_maps(maps, first_rows[band], first_columns).sigmoid()
            scores = (class_scores.T @ masks.flatten(1)).unflatten(1, masks.shape[1:])
            yield tile, scores if same else resize_maps(
                scores, second_rows[tile, band], second_columns)
