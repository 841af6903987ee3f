"""Points: drawing them, sampling maps at them.

Shapes: M maps, C channels, P points. A point is (x, y) in [0, 1], x first; sampling is bilinear,
corners are not aligned, outside is zero (PointRend, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unimask.ops import native


def uniform_points(sets: Sequence[int], count: int, device: torch.device | str) -> Tensor:
    """``count`` uniform points for every set: (*sets, count, 2) float32 in [0, 1)."""
    return torch.rand(*sets, count, 2, device=device)


def draw_uncertain(maps: Tensor, candidates: int, count: int) -> Tensor:
    """The ``count`` most uncertain of ``candidates`` uniform points of each map.

    Args:
        maps: (M, h, w) logits.
        candidates: Points that are drawn for each map.
        count: How many of them are kept.

    Returns:
        (M, count, 2).
    """
    if native.supports(maps):
        return native.draw_uncertain_points(maps.detach(), candidates, count)
    points = uniform_points((len(maps),), candidates, maps.device)
    return most_uncertain(maps, points, count)


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
    if native.supports(maps, points):
        return native.uncertain_points(maps, points, count)
    uncertainty = -sample_maps(maps, points).abs()
    index = uncertainty.topk(count, dim=1, sorted=False).indices
    return points.gather(1, index[..., None].expand(-1, -1, 2))
