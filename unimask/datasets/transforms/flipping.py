"""Mirroring of images together with their labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unimask.datasets.transforms.base import BaseTransform
from unimask.datasets.transforms.geometry import flip_sample
from unimask.errors import UserError
from unimask.registry import TRANSFORMS

__all__ = ['RandomFlip']

DIRECTIONS = ('horizontal', 'vertical', 'diagonal')


@TRANSFORMS.register_module()
class RandomFlip(BaseTransform):
    """Mirror the image and its labels at random; options and draws are those of MMDetection's.

    Adds ``flip`` and ``flip_direction``, which is None where nothing was mirrored.

    Args:
        prob: Of mirroring, shared equally by the directions; or one for each direction.
        direction: ``horizontal``, ``vertical`` or ``diagonal`` (both), or several of them.

    Raises:
        UserError: A direction is unknown, the lengths differ, or the sum of the probabilities is
            not between 0 and 1.
    """

    def __init__(self, prob: float | Sequence[float], direction: str | Sequence[str] = 'horizontal'
                 ) -> None:
        self.directions = [direction] if isinstance(direction, str) else list(direction)
        unknown = sorted(set(self.directions) - set(DIRECTIONS))
        if unknown or not self.directions:
            raise UserError(f'RandomFlip: direction={direction!r} may name {DIRECTIONS}.')
        shares = [prob / len(self.directions)] * len(self.directions) if isinstance(
            prob, (int, float)) else list(prob)
        if len(shares) != len(self.directions) or not (min(shares) >= 0 and sum(shares) <= 1):
            raise UserError(f'RandomFlip: prob={prob!r} is to be a number between 0 and 1, or one '
                            f'for each direction ({len(self.directions)}) with a sum of at most 1.')
        self.shares = [*shares, 1.0 - sum(shares)]

    def transform(self, results: dict) -> dict:
        """Mirror the sample, or not."""
        direction = np.random.choice([*self.directions, None], p=self.shares)
        results['flip'], results['flip_direction'] = direction is not None, direction
        if direction is not None:
            flip_sample(results, direction)
        return results
