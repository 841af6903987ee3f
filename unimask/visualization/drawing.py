"""Paints segmentations on pictures. Pure functions of arrays; every picture is RGB uint8 (h, w, 3).

Shapes: h, w picture size, N segments or instances, K classes.
"""
from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from unimask.structures.taxonomy import Taxonomy

__all__ = ['ALPHA', 'draw_instances', 'draw_panoptic', 'draw_semantic', 'side_by_side']

ALPHA = 0.6  # opacity of the paint
VOID_COLOUR = (0, 0, 0)
HATCH_COLOUR = (96, 96, 96)
HATCH_PERIOD = 8  # pixels between two lines of the hatching of void
SHADES = (1.0, 0.75, 1.25, 0.6, 1.4)  # brightness of the 1st, 2nd, ... instance of a class
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_HEIGHT = 21  # pixels of a capital at font scale 1
GAP = 4  # pixels between two panels


def draw_panoptic(image: np.ndarray, segment_map: np.ndarray, labels: Sequence[int],
                  taxonomy: Taxonomy, *, scores: Sequence[float] | None = None,
                  alpha: float = ALPHA, captions: bool = True) -> np.ndarray:
    """Paint segments in the colour of their class, outline things and name everything.

    Args:
        image: (h, w, 3).
        segment_map: (h, w) integers: 1..N for the segments, 0 = void, which is hatched.
        labels: Class of segments 1..N.
        taxonomy: Names, things and colours of the classes.
        scores: Of segments 1..N, shown after the names.
        alpha: Opacity of the paint.
        captions: Whether names are written.

    Returns:
        A new picture (h, w, 3).
    """
    colours = _segment_colours(labels, taxonomy)
    picture = _paint_map(image, segment_map, colours, alpha)
    masks = [segment_map == number + 1 for number in range(len(labels))]
    for mask, label in zip(masks, labels, strict=True):
        if taxonomy.is_thing(label):
            _outline(picture, mask)
    if captions:
        _write_captions(picture, masks, _names(labels, taxonomy, scores), colours)
    return picture


def draw_instances(image: np.ndarray, masks: np.ndarray, labels: Sequence[int],
                   taxonomy: Taxonomy, *, scores: Sequence[float] | None = None,
                   alpha: float = ALPHA, captions: bool = True) -> np.ndarray:
    """Paint instances, that may overlap, in the colour of their class; the best come on top.

    Args:
        image: (h, w, 3).
        masks: (N, h, w) bool.
        labels: (N,) classes.
        taxonomy: Names and colours of the classes.
        scores: (N,), shown after the names.
        alpha: Opacity of the paint.
        captions: Whether names are written.

    Returns:
        A new picture (h, w, 3).
    """
    order = range(len(labels)) if scores is None else np.argsort(scores, kind='stable')
    colours = _segment_colours(labels, taxonomy)
    picture = image.copy()
    for index in order:
        mask = masks[index]
        picture[mask] = _mix(image[mask], colours[index], alpha)
        _outline(picture, mask)
    if captions:
        names = _names(labels, taxonomy, scores)
        _write_captions(picture, [masks[i] for i in order], [names[i] for i in order],
                        [colours[i] for i in order])
    return picture


def draw_semantic(image: np.ndarray, label_map: np.ndarray, taxonomy: Taxonomy, *,
                  alpha: float = ALPHA, captions: bool = True) -> np.ndarray:
    """Paint every pixel in the colour of its class.

    Args:
        image: (h, w, 3).
        label_map: (h, w) classes; anything outside of 0..K-1 (such as 255) is void, hatched.
        taxonomy: Names and colours of the classes.
        alpha: Opacity of the paint.
        captions: Whether names are written.

    Returns:
        A new picture (h, w, 3).
    """
    known = (label_map >= 0) & (label_map < taxonomy.num_classes)
    labels = np.unique(label_map[known])
    numbers = np.zeros(taxonomy.num_classes, np.int32)
    numbers[labels] = np.arange(1, len(labels) + 1)
    segment_map = np.where(known, numbers[np.where(known, label_map, 0)], 0)
    colours = [taxonomy.palette[label] for label in labels]
    picture = _paint_map(image, segment_map, colours, alpha)
    if captions:
        masks = [segment_map == number + 1 for number in range(len(labels))]
        _write_captions(picture, masks, _names(labels, taxonomy, None), colours)
    return picture


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


def _segment_colours(labels: Sequence[int], taxonomy: Taxonomy) -> list[tuple[int, int, int]]:
    """The class colour; further instances of a thing class get other shades of it."""
    seen: dict[int, int] = {}
    colours = []
    for label in map(int, labels):
        shade = SHADES[seen.get(label, 0) % len(SHADES)] if taxonomy.is_thing(label) else 1.0
        seen[label] = seen.get(label, 0) + 1
        colours.append(tuple(min(255, round(shade * value)) for value in taxonomy.palette[label]))
    return colours


def _paint_map(image: np.ndarray, segment_map: np.ndarray, colours: Sequence[tuple[int, int, int]],
               alpha: float) -> np.ndarray:
    table = np.array([VOID_COLOUR, *colours], np.uint8)
    picture = _mix(image, table[segment_map], alpha)
    void = segment_map == 0
    picture[void] = _hatching(*void.shape)[void]
    return picture


def _mix(pixels: np.ndarray, colour: np.ndarray | tuple[int, int, int],
         alpha: float) -> np.ndarray:
    mixed = (1 - alpha) * pixels + alpha * np.asarray(colour, np.float32)
    return np.rint(mixed).astype(np.uint8)


def _hatching(height: int, width: int) -> np.ndarray:
    """Black (h, w, 3) with grey diagonal lines."""
    diagonal = np.add.outer(np.arange(height), np.arange(width)) % HATCH_PERIOD == 0
    return np.where(diagonal[..., None], HATCH_COLOUR, VOID_COLOUR).astype(np.uint8)


def _outline(picture: np.ndarray, mask: np.ndarray) -> None:
    """Draw the border of a mask (h, w) in white, holes included."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, (255, 255, 255), 1)


def _names(labels: Sequence[int], taxonomy: Taxonomy,
           scores: Sequence[float] | None) -> list[str]:
    names = [taxonomy.classes[int(label)] for label in labels]
    if scores is None:
        return names
    return [f'{name} {score:.2f}' for name, score in zip(names, scores, strict=True)]


def _write_captions(picture: np.ndarray, masks: Sequence[np.ndarray], names: Sequence[str],
                    colours: Sequence[tuple[int, int, int]]) -> None:
    """Write each name on a plate in its mask's colour, in the middle of the mask."""
    scale = float(np.clip(max(picture.shape[:2]) / 1200, 0.35, 1.2))
    for mask, name, colour in zip(masks, names, colours, strict=True):
        if mask.any():
            _write_plate(picture, name, _middle(mask), colour, scale)


def _middle(mask: np.ndarray) -> tuple[int, int]:
    """The pixel (x, y) of the mask (h, w) that is farthest from its border."""
    framed = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return int(x), int(y)


def _write_plate(picture: np.ndarray, text: str, centre: tuple[int, int],
                 colour: tuple[int, int, int], scale: float) -> None:
    height, width = picture.shape[:2]
    (text_width, text_height), below = cv2.getTextSize(text, FONT, scale, 1)
    left = int(np.clip(centre[0] - text_width // 2, 1, max(1, width - text_width - 1)))
    base = int(np.clip(centre[1] + text_height // 2, text_height + 1, max(1, height - below)))
    corner = (left + text_width, base + below - 1)
    cv2.rectangle(picture, (left - 1, base - text_height - 1), corner, colour, cv2.FILLED)
    cv2.putText(picture, text, (left, base), FONT, scale, _contrast(colour), 1, cv2.LINE_AA)


def _contrast(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever is read better on ``colour`` (luma of ITU-R BT.601)."""
    luma = float(np.dot(colour, (0.299, 0.587, 0.114)))
    return (0, 0, 0) if luma > 140 else (255, 255, 255)
