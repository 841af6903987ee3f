"""Readable tables of scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from prettytable import PrettyTable

# Longer tables are folded into this many blocks side by side.
_FOLD_ABOVE, _BLOCKS = 20, 3


def score_table(
        names: Sequence[str], scores: np.ndarray, columns: Sequence[str], *, first: str) -> str:
    """Lay out scores, one row per name.

    Args:
        names: (R,) row titles.
        scores: (R, C) percentages; NaN is shown as ``-``.
        columns: (C,) column titles.
        first: Title of the column of names.
    """
    rows = [[name, *map(_cell, row)] for name, row in zip(names, scores, strict=True)]
    blocks = _BLOCKS if len(rows) > _FOLD_ABOVE else 1
    height = -(-len(rows) // blocks)
    rows += [[''] * (len(columns) + 1)] * (height * blocks - len(rows))
    table = PrettyTable(header=False, align='r')
    table.add_row([first, *columns] * blocks, divider=True)
    for index in range(height):
        table.add_row([cell for block in range(blocks) for cell in rows[index + block * height]])
    return '\n' + table.get_string()


def _cell(value: float) -> str:
    return '-' if np.isnan(value) else f'{value:.2f}'
