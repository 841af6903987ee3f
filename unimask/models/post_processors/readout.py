"""One image's final prediction, whose maps are made band by band.

Shapes: Q queries, K classes, C mask dimension, (h, w) mask features or dense logits, (H, W) output.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch
from typing import Protocol

from torch import Tensor

from unimask.ops.resize import ResizePlan, resize_maps, row_tiles, used_band
from unimask.structures import DensePrediction, MaskPrediction

Tile = tuple[slice, Tensor]


class Readout(Protocol):
    """What every post-processor can read of an image.

    Attributes:
        plan: From the prediction's size to the output size.
    """

    plan: ResizePlan

    def class_tiles(self, *, resize_scores: bool = False) -> Iterator[Tile]:
        """Output rows and what classes are ranked by there, (K, rows, W).

        Args:
            resize_scores: Resize class scores rather than mask logits, where these differ.
        """

    def comparable(self, tile: Tensor) -> Tensor:
        """A tile of :meth:`class_tiles` on a scale that several views of an image share."""


@dataclass(frozen=True)
class MaskReadout:
    """Queries with classes and masks.

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

    @property
    def num_classes(self) -> int:
        """K."""
        return self.class_logits.shape[1] - 1

    def maps(self, queries: Tensor | None = None) -> Tensor:
        """Mask logits of the queries (all if None) at the features' size, (Q, h, w)."""
        chosen = self.embeddings if queries is None else self.embeddings[queries]
        return (chosen @ self.features.flatten(1)).unflatten(1, self.plan.source)

    def tiles(self, queries: Tensor | None = None) -> Iterator[Tile]:
        """Output rows and the queries' mask logits there, (Q, rows, W)."""
        yield from _resized(self.maps(queries), self.plan)

    def class_tiles(self, *, resize_scores: bool = False) -> Iterator[Tile]:
        """Output rows and class scores there: over queries, the sum of class times mask
        (MaskFormer, section 3.3), (K, rows, W)."""
        class_scores = self.class_logits.softmax(-1)[:, :-1]
        if resize_scores:
            yield from self._score_tiles(class_scores)
            return
        for tile, logits in self.tiles():
            flat = class_scores.T @ logits.sigmoid().flatten(1)
            yield tile, flat.unflatten(1, logits.shape[1:])

    def comparable(self, tile: Tensor) -> Tensor:
        """The scores as they are; published models average them over views."""
        return tile

    def _score_tiles(self, class_scores: Tensor) -> Iterator[Tile]:
        """Class scores (Q, K) made at the padded input size, then cropped and resized.

        So do published semantic models (Mask2Former's and MaskFormer's test code).
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


@dataclass(frozen=True)
class DenseReadout:
    """Class logits of every pixel.

    Attributes:
        logits: (K, h, w).
        plan: From (h, w) to the output size.
    """

    logits: Tensor
    plan: ResizePlan

    def class_tiles(self, *, resize_scores: bool = False) -> Iterator[Tile]:
        """Output rows and class logits there, (K, rows, W); logits are the scores here."""
        yield from _resized(self.logits, self.plan)

    def comparable(self, tile: Tensor) -> Tensor:
        """Probabilities of the classes."""
        return tile.softmax(0)


def _resized(maps: Tensor, plan: ResizePlan) -> Iterator[Tile]:
    """Output rows and the maps (N, h, w) there, (N, rows, W)."""
    rows, columns = plan.whole(0), plan.whole(1)
    for tile in row_tiles(*plan.output, len(maps)):
        yield tile, resize_maps(maps, rows[tile], columns)


@singledispatch
def read(prediction: object, image: int, *, padded: tuple[int, int], size: tuple[int, int],
         output: tuple[int, int]) -> Readout:
    """The last prediction of one image of a batch, float32.

    Args:
        prediction: A prediction of a batch.
        image: Index of the image.
        padded: (H, W) of the network's input.
        size: (H, W) of the image inside it.
        output: (H, W) of the result.

    Raises:
        TypeError: Nothing can read such a prediction; ``read.register`` teaches it.
    """
    raise TypeError(f'read() knows no {type(prediction).__name__}: register a function for it '
                    'with unimask.models.post_processors.read.register.')


@read.register
def _(prediction: MaskPrediction, image: int, *, padded: tuple[int, int], size: tuple[int, int],
      output: tuple[int, int]) -> MaskReadout:
    features = prediction.mask_features[image].float()
    return MaskReadout(
        prediction.class_logits[-1, image].float(), prediction.mask_embeddings[-1, image].float(),
        features, ResizePlan(tuple(features.shape[-2:]), padded, size, output))


@read.register
def _(prediction: DensePrediction, image: int, *, padded: tuple[int, int], size: tuple[int, int],
      output: tuple[int, int]) -> DenseReadout:
    logits = prediction.logits[-1, image].float()
    return DenseReadout(logits, ResizePlan(tuple(logits.shape[-2:]), padded, size, output))
