"""Readable tables of scores."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from prettytable import PrettyTable

__all__ = ['ClassTable', 'class_tables_csv', 'score_table']

# Longer tables are folded into this many blocks side by side.
_FOLD_ABOVE, _BLOCKS = 20, 3


@dataclass(frozen=True)
class ClassTable:
    """Scores of every class.

    Attributes:
        classes: (R,) names.
        columns: (C,) names of the scores, as in the metric's summary.
        scores: (R, C) percentages, NaN where there is nothing to score.
        counted: What ``counts`` counts, such as ``objects``; empty without counts.
        counts: (R,) how many the truth has of every class.
    """

    classes: Sequence[str]
    columns: Sequence[str]
    scores: np.ndarray
    counted: str = ''
    counts: Sequence[int] = ()

    def __str__(self) -> str:
        return score_table(self.classes, self.scores, self.columns, first='class')


def class_tables_csv(tables: Mapping[str, Sequence[ClassTable]]) -> str:
    """One line per class with the scores of all metrics; a score that a class lacks is empty.

    Args:
        tables: By the prefix of their metric, which the columns have in front (``panoptic/PQ``).
    """
    columns: dict[str, dict[str, float]] = {}
    for prefix, parts in tables.items():
        for part in parts:
            for column, values in zip(part.columns, part.scores.T, strict=True):
                columns[f'{prefix}/{column}'] = dict(zip(part.classes, values, strict=True))
    classes = dict.fromkeys(name for values in columns.values() for name in values)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['class', *columns])
    for name in classes:
        cells = (values.get(name, float('nan')) for values in columns.values())
        writer.writerow([name, *('' if np.isnan(cell) else f'{cell:.4f}' for cell in cells)])
    return text.getvalue()


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
