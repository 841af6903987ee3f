"""Points: drawing them, sampling maps at them.

Shapes: M maps, C channels, P points. A point is (x, y) in [0, 1], x first; sampling is bilinear,
corners are not aligned, outside is zero (PointRend, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unimask.ops.cpu import native


def uniform_points(sets: Sequence[int], count: int, device: torch.device | str) -> Tensor:
    """``count`` uniform points for every set: (*sets, count, 2) float32 in [0, 1)."""
    return torch.rand(*sets, count, 2, device=device)


def draw_uncertain(maps: Tensor, candidates: int, count: int, others: int) -> Tensor:
    """The ``count`` most uncertain of ``candidates`` uniform points of each map, and others.

    Args:
        maps: (M, h, w) logits.
        candidates: Points that are drawn for each map.
        count: How many of them are kept.
        others: Further uniform points, which are not chosen but kept as they are.

    Returns:
        (M, count + others, 2).
    """
    if native.supports(maps):
        return native.draw_uncertain_points(maps.detach(), candidates, count, others)
    points = uniform_points((len(maps),), candidates + others, maps.device)
    chosen = most_uncertain(maps, points[:, :candidates], count)
    return torch.cat([chosen, points[:, candidates:]], dim=1)


def sample_features(features: Tensor, points: Tensor) -> Tensor:
    """Feature vectors at points: (B, C, h, w), (B, P, 2) -> (B, C, P)."""
    grid = 2 * points[:, None] - 1
    return F.grid_sample(features, grid.to(features.dtype), align_corners=False)[:, :, 0]


def sample_maps(maps: Tensor, points: Tensor) -> Tensor:
    """Every map at its own points: (M, h, w), (M, P, 2) -> (M, P). Points get no gradient."""
    if native.supports(maps, points):
        return native.sample_maps(maps, points)
    grid = 2 * points[:, None] - 1
    return F.grid_sample(maps[:, None], grid.to(maps.dtype), align_corners=False)[:, 0, 0]


@torch.no_grad()
def sample_labels(maps: Tensor, sources: Tensor, wanted: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples of the masks ``maps[sources] == wanted``, which are never made.

    Args:
        maps: (S, h, w) bool, int16 or int32.
        sources: (M,) int64, the map of each mask.
        wanted: (M,) int64, the label of each mask.
        points: (M, P, 2).

    Returns:
        (M, P) in the points' float type.
    """
    if native.supports(points) and maps.device == points.device:
        return native.sample_labels(maps, sources, wanted, points).to(points.dtype)
    height, width = maps.shape[-2:]
    columns, rows = (
        _neighbours(points[..., axis], size) for axis, size in enumerate((width, height)))
    start = (sources * height * width)[:, None]
    wanted = wanted.to(maps.dtype)[:, None]
    value = torch.zeros_like(points[..., 0])
    for row, row_weight in rows:
        row = row * width + start
        for column, column_weight in columns:
            value += (maps.take(row + column) == wanted) * row_weight * column_weight
    return value


def _neighbours(coordinate: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """The two pixels beside a coordinate in [0, 1] and their weights, zero outside the map."""
    position = coordinate * size - 0.5
    low = position.floor()
    fraction = position - low
    low = low.long()
    pairs = ((low, 1 - fraction), (low + 1, fraction))
    return [(place.clamp(0, size - 1), weight * ((place >= 0) & (place < size)))
            for place, weight in pairs]


@torch.no_grad()
def most_uncertain(maps: Tensor, points: Tensor, count: int) -> Tensor:
    """The ``count`` points of each map whose sampled logit is nearest to zero.

    The uncertainty is computed from sampled logits, not sampled from a map of uncertainties
    (PointRend, section 3.1). The order of the result carries no meaning.

    Args:
        maps: (M, h, w) logits.
        points: (M, P, 2) candidates.
        count: k <= P.

    Returns:
        (M, k, 2).
    """
    uncertainty = -sample_maps(maps, points).abs()
    index = uncertainty.topk(count, dim=1, sorted=False).indices
    return points.gather(1, index[..., None].expand(-1, -1, 2))
