"""Where mask losses are evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unimask.errors import UserError
from unimask.ops import draw_uncertain
from unimask.registry import TASK_UTILS


@TASK_UTILS.register_module()
@dataclass(frozen=True, kw_only=True)
class UncertainPointSampler:
    """Mostly uncertain points, some uniform ones (PointRend, section 3.1).

    Attributes:
        num_points: P.
        oversample_ratio: Candidates per point.
        importance_ratio: Share of the points that are the most uncertain candidates.
    """

    num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_ratio: float = 0.75

    def __post_init__(self) -> None:
        if self.oversample_ratio < 1 or not 0 <= self.importance_ratio <= 1:
            raise UserError(
                f'oversample_ratio must be at least 1 and importance_ratio between 0 and 1, '
                f'not {self.oversample_ratio} and {self.importance_ratio}.')

    def __call__(self, logits: Tensor) -> Tensor:
        """Points for every mask: (L, R, h, w) -> (L, R, P, 2), without gradient."""
        sets = tuple(logits.shape[:2])
        uncertain = int(self.importance_ratio * self.num_points)
        candidates = int(self.oversample_ratio * self.num_points)
        points = draw_uncertain(logits.detach().flatten(0, 1), candidates, uncertain,
                                self.num_points - uncertain)
        return points.unflatten(0, sets)
