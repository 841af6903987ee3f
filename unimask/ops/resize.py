"""Bilinear resizing as matrices, so that several resizes and crops become one.

Bilinear resizing (corners not aligned) is linear and separable: resize(M) = R M C^T with one
matrix per axis. A chain of resizes and crops is the product of their matrices, and any band of
output rows can be made alone: no full-size map of all queries is ever needed
(docs/architecture.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


@lru_cache(maxsize=128)
@torch.inference_mode(False)  # what is kept must serve a later training too
def interpolation_matrix(old: int, new: int) -> Tensor:
    """Weights of ``F.interpolate(mode='bilinear', align_corners=False)`` along an axis.

    Returns:
        (new, old) float32 on the CPU, each row sums to one. Shared: do not change it.
    """
    # As torch does it: the scale and the position in float32.
    scale = torch.tensor(old / new, dtype=torch.float32)
    position = ((torch.arange(new, dtype=torch.float32) + 0.5) * scale - 0.5).clamp_(min=0)
    low = position.floor().long().clamp_(max=old - 1)
    high = (low + 1).clamp_(max=old - 1)
    fraction = position - low
    matrix = torch.zeros(new, old)
    rows = torch.arange(new)
    matrix[rows, low] = 1 - fraction
    matrix[rows, high] += fraction
    return matrix


@dataclass(frozen=True)
class ResizePlan:
    """From the mask features' size to the output: resize, crop, resize.

    The published order (spelt out in the code of MaskFormer and Mask2Former): mask logits are
    resized to the padded input size, cropped to the image and resized to the output size.

    Attributes:
        source: (h, w) of the mask features.
        padded: (H, W) of the network's input.
        image: (H, W) of the image inside it.
        output: (H, W) of the result.
    """

    source: tuple[int, int]
    padded: tuple[int, int]
    image: tuple[int, int]
    output: tuple[int, int]

    def first(self, axis: int) -> Tensor:
        """Source to cropped image along an axis: (image, source)."""
        return interpolation_matrix(self.source[axis], self.padded[axis])[:self.image[axis]]

    def second(self, axis: int) -> Tensor:
        """Cropped image to output along an axis: (output, image)."""
        return interpolation_matrix(self.image[axis], self.output[axis])

    def whole(self, axis: int) -> Tensor:
        """Source to output along an axis: (output, source)."""
        if self.image[axis] == self.output[axis]:
            return self.first(axis)
        return self.second(axis) @ self.first(axis)


def nearest(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """What ``F.interpolate(mode='nearest')`` picks, for any type: (..., H, W) -> (..., h, w)."""
    rows, columns = (
        (torch.arange(new, device=maps.device) * (old / new)).long().clamp_(max=old - 1)
        for new, old in zip(size, maps.shape[-2:], strict=True))
    return maps[..., rows[:, None], columns]


def resize_maps(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """R M C^T: maps (N, h, w), rows (H, h), columns (W, w) on the CPU -> (N, H, W).

    The matrices are banded: only the source rows that matter enter the product.
    """
    band = used_band(rows)
    rows = rows[:, band].to(maps.device)
    return rows @ (maps[:, band] @ columns.T.to(maps.device))


class RowBand(NamedTuple):
    """Rows of a map that is made larger, and what they are made of.

    Attributes:
        rows: Of the larger map.
        source: Of the smaller one: all that enter them.
        skip: Rows of the resized source that come before them.
    """

    rows: slice
    source: slice
    skip: int


def row_bands(old: int, new: int, *, values_per_row: int, budget: int) -> list[RowBand]:
    """Bands of an axis that grows from ``old`` to ``new`` by a whole factor; else a single band.

    Args:
        old: Rows of the smaller map.
        new: Rows of the larger map.
        values_per_row: Of the larger map, over all channels.
        budget: Values that a band should hold at most.
    """
    factor, rest = divmod(new, old)
    step = old if rest else max(1, budget // max(1, factor * values_per_row))
    bands = []
    for start in range(0, old, step):
        stop = min(old, start + step)
        first = max(0, start - 1)  # a row beside them enters the rows at the edge
        bands.append(RowBand(slice(start * factor, stop * factor), slice(first, min(old, stop + 1)),
                             (start - first) * factor))
    return bands if len(bands) > 1 else [RowBand(slice(0, new), slice(0, old), 0)]


def resize_band(part: Tensor, band: RowBand, size: tuple[int, int], *, whole: int) -> Tensor:
    """The rows of ``F.interpolate`` (bilinear, no aligned corners) that a band stands for.

    Args:
        part: (N, C, source rows of the band, w).
        band: Of :func:`row_bands`.
        size: (H, W) of the larger map.
        whole: Rows h of the smaller map.
    """
    rows = size[0] if part.shape[-2] == whole else part.shape[-2] * size[0] // whole
    larger = F.interpolate(part, (rows, size[1]), mode='bilinear', align_corners=False)
    return larger[..., band.skip:band.skip + band.rows.stop - band.rows.start, :]


def used_band(matrix: Tensor) -> slice:
    """The columns of a banded matrix that hold anything."""
    used = matrix.ne(0).any(0).nonzero()
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)


def row_tiles(height: int, width: int, maps: int, budget: int = 2**23) -> list[slice]:
    """Bands of output rows such that ``maps`` maps of a band hold at most ``budget`` values."""
    step = max(1, budget // max(1, width * maps))
    return [slice(start, min(height, start + step)) for start in range(0, height, step)]
