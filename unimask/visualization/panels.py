"""Puts pictures beside and below each other, with titles and names. RGB uint8 (h, w, 3)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from unimask.structures.taxonomy import Taxonomy
from unimask.visualization.drawing import FONT

__all__ = ['in_rows', 'legend', 'side_by_side']

FONT_HEIGHT = 21  # pixels of a capital at font scale 1
GAP = 4  # pixels between two panels


def side_by_side(panels: dict[str, np.ndarray]) -> np.ndarray:
    """Join pictures of one size from left to right, each below its title.

    Args:
        panels: Picture (h, w, 3) by title.

    Returns:
        The joined picture.
    """
    titled = []
    for title, panel in panels.items():
        scale = 0.5
        strip = np.full((FONT_HEIGHT, panel.shape[1], 3), 255, np.uint8)
        cv2.putText(strip, title, (4, FONT_HEIGHT - 6), FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)
        titled.append(np.concatenate([strip, panel]))
    gap = np.full((titled[0].shape[0], GAP, 3), 255, np.uint8)
    parts = [part for panel in titled for part in (gap, panel)][1:]
    return np.concatenate(parts, axis=1)


def in_rows(panels: dict[str, np.ndarray], columns: int) -> np.ndarray:
    """Join pictures of one size row by row, each below its title.

    Args:
        panels: Picture (h, w, 3) by title.
        columns: Pictures a row; the last row may have fewer.

    Returns:
        The joined picture.
    """
    titles = list(panels)
    rows = [side_by_side({title: panels[title] for title in titles[start:start + columns]})
            for start in range(0, len(titles), columns)]
    white = [np.full((rows[0].shape[0], rows[0].shape[1] - row.shape[1], 3), 255, np.uint8)
             for row in rows]
    return np.concatenate([np.concatenate(pair, axis=1) for pair in zip(rows, white, strict=True)])


def legend(labels: Sequence[int], taxonomy: Taxonomy, width: int) -> np.ndarray:
    """Colours and names of classes, row by row from left to right.

    Args:
        labels: The classes, in this order.
        taxonomy: Names and colours of the classes.
        width: Pixels of a row; a longer name makes a row of its own, cut off at the end.

    Returns:
        The picture (h, width, 3), white around the names.
    """
    row = np.full((FONT_HEIGHT + GAP, width, 3), 255, np.uint8)
    rows, left = [row.copy()], 0
    for label in map(int, labels):
        name = taxonomy.classes[label]
        needed = 2 * FONT_HEIGHT + cv2.getTextSize(name, FONT, 0.5, 1)[0][0]
        if left and left + needed > width:
            rows.append(row.copy())
            left = 0
        cv2.rectangle(rows[-1], (left + GAP, GAP + 2), (left + FONT_HEIGHT, FONT_HEIGHT),
                      taxonomy.palette[label], cv2.FILLED)
        cv2.putText(rows[-1], name, (left + FONT_HEIGHT + GAP, FONT_HEIGHT - 3), FONT, 0.5,
                    (0, 0, 0), 1, cv2.LINE_AA)
        left += needed
    return np.concatenate(rows)
