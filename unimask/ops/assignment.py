"""Bipartite assignment."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

# Larger than every sane cost, small enough for sums of them to stay exact in float64.
WORST_COST = 1e6


def assign(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cheapest one-to-one assignment of rows to columns.

    Valid for any float input: NaN counts as the worst cost, infinities and huge values are
    clipped, and either side may be empty or larger.

    Args:
        cost: (Q, N).

    Returns:
        Row indices in ascending order and their columns, min(Q, N) of each, int64.
    """
    if 0 in cost.shape:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    finite = np.nan_to_num(
        cost.astype(np.float64), nan=WORST_COST, posinf=WORST_COST, neginf=-WORST_COST)
    return linear_sum_assignment(finite.clip(-WORST_COST, WORST_COST))
