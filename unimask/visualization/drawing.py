"""Paints segmentations on pictures. Pure functions of arrays; every picture is RGB uint8 (h, w, 3).

Large pictures are mixed in bands of rows, and masks are looked at one by one and inside their box:
nothing but the picture and the map is as large as the picture.

Shapes: h, w picture size, N segments or instances, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import find_objects

from unimask.structures.taxonomy import Taxonomy

__all__ = ['ALPHA', 'FONT', 'draw_instances', 'draw_panoptic', 'draw_semantic']

ALPHA = 0.6  # opacity of the paint
VOID_COLOUR = (0, 0, 0)
HATCH_COLOUR = (96, 96, 96)
HATCH_PERIOD = 8  # pixels between two lines of the hatching of void
SHADES = (1.0, 0.75, 1.25, 0.6, 1.4)  # brightness of the 1st, 2nd, ... instance of a class
FONT = cv2.FONT_HERSHEY_SIMPLEX
BAND = 2**20  # pixels that are mixed at a time
SHIFTS = (0, 1, -1, 2, -2, 3, -3)  # heights by which a plate moves out of the way of others


@dataclass(frozen=True)
class _Region:
    """The inside of a mask's box.

    Attributes:
        rows: Of the box.
        columns: Of the box.
        mask: (h, w) uint8, 0 or 1, of the box.
    """

    rows: slice
    columns: slice
    mask: np.ndarray


@dataclass(frozen=True)
class _Plate:
    """Where a name stands, in pixels; the borders belong to it.

    Attributes:
        left: First column.
        top: First row.
        right: Last column.
        bottom: Last row.
        below: Rows under the base of the text.
    """

    left: int
    top: int
    right: int
    bottom: int
    below: int

    def shared(self, other: _Plate) -> int:
        """Pixels that both cover."""
        columns = min(self.right, other.right) - max(self.left, other.left) + 1
        rows = min(self.bottom, other.bottom) - max(self.top, other.top) + 1
        return max(columns, 0) * max(rows, 0)


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
    names = _names(labels, taxonomy, scores)
    plates = []
    for index, region in _regions_of_map(segment_map, len(labels)):
        if taxonomy.is_thing(labels[index]):
            _outline(picture, region)
        if captions:
            plates.append((names[index], _middle(region), colours[index]))
    _write_plates(picture, plates)
    return picture


def draw_instances(image: np.ndarray, masks: Sequence[np.ndarray], labels: Sequence[int],
                   taxonomy: Taxonomy, *, scores: Sequence[float] | None = None,
                   alpha: float = ALPHA, captions: bool = True) -> np.ndarray:
    """Paint instances, that may overlap, in the colour of their class; the best come on top.

    Args:
        image: (h, w, 3).
        masks: N masks (h, w) bool, each of which is asked for once.
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
    names = _names(labels, taxonomy, scores)
    picture = image.copy()
    plates = []
    for index in map(int, order):
        region = _region(masks[index])
        if region is None:
            continue
        _paint_region(picture, image, region, colours[index], alpha)
        _outline(picture, region)
        if captions:
            plates.append((names[index], _middle(region), colours[index]))
    _write_plates(picture, plates)
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
    segment_map = np.zeros(label_map.shape, np.int32)
    segment_map[known] = numbers[label_map[known]]
    colours = [taxonomy.palette[label] for label in labels]
    picture = _paint_map(image, segment_map, colours, alpha)
    if captions:
        names = _names(labels, taxonomy, None)
        _write_plates(picture, [(names[index], _middle(region), colours[index])
                                for index, region in _regions_of_map(segment_map, len(labels))])
    return picture


def _segment_colours(labels: Sequence[int], taxonomy: Taxonomy) -> list[tuple[int, int, int]]:
    """The class colour; further instances of a thing class get other shades of it."""
    seen: dict[int, int] = {}
    colours = []
    for label in map(int, labels):
        shade = SHADES[seen.get(label, 0) % len(SHADES)] if taxonomy.is_thing(label) else 1.0
        seen[label] = seen.get(label, 0) + 1
        colours.append(tuple(min(255, round(shade * value)) for value in taxonomy.palette[label]))
    return colours


def _bands(image: np.ndarray) -> Iterator[slice]:
    """Rows of an image that are mixed at a time."""
    height, width = image.shape[:2]
    step = max(1, BAND // max(1, width))
    return (slice(start, min(height, start + step)) for start in range(0, height, step))


def _paint_map(image: np.ndarray, segment_map: np.ndarray, colours: Sequence[tuple[int, int, int]],
               alpha: float) -> np.ndarray:
    table = np.array([VOID_COLOUR, *colours], np.uint8)
    picture = np.empty_like(image)
    for rows in _bands(image):
        picture[rows] = _mix(image[rows], table[segment_map[rows]], alpha)
        void = segment_map[rows] == 0
        picture[rows][void] = _hatching(rows, image.shape[1])[void]
    return picture


def _paint_region(picture: np.ndarray, image: np.ndarray, region: _Region,
                  colour: tuple[int, int, int], alpha: float) -> None:
    target, source = (whole[region.rows, region.columns] for whole in (picture, image))
    for rows in _bands(region.mask):
        inside = region.mask[rows].astype(bool)
        target[rows][inside] = _mix(source[rows][inside], colour, alpha)


def _mix(pixels: np.ndarray, colour: np.ndarray | tuple[int, int, int],
         alpha: float) -> np.ndarray:
    mixed = (1 - alpha) * pixels + alpha * np.asarray(colour, np.float32)
    return np.rint(mixed).astype(np.uint8)


def _hatching(rows: slice, width: int) -> np.ndarray:
    """Black (h, w, 3) with grey diagonal lines: the rows of a picture."""
    diagonal = np.add.outer(np.arange(rows.start, rows.stop), np.arange(width))
    lines = (diagonal % HATCH_PERIOD == 0)[..., None]
    return np.where(lines, HATCH_COLOUR, VOID_COLOUR).astype(np.uint8)


def _region(mask: np.ndarray) -> _Region | None:
    """The inside of a mask (h, w); None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return _Region(*box, mask[box].astype(np.uint8))


def _regions_of_map(segment_map: np.ndarray, count: int) -> Iterator[tuple[int, _Region]]:
    """Index, from 0, and region of the segments 1 to ``count`` that have pixels."""
    for index, box in enumerate(find_objects(segment_map, max_label=count)):
        if box is not None:
            yield index, _Region(*box, (segment_map[box] == index + 1).astype(np.uint8))


def _outline(picture: np.ndarray, region: _Region) -> None:
    """Draw the border of a mask in white, holes included."""
    contours, _ = cv2.findContours(region.mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE,
                                   offset=(int(region.columns.start), int(region.rows.start)))
    cv2.drawContours(picture, contours, -1, (255, 255, 255), 1)


def _names(labels: Sequence[int], taxonomy: Taxonomy,
           scores: Sequence[float] | None) -> list[str]:
    names = [taxonomy.classes[int(label)] for label in labels]
    if scores is None:
        return names
    return [f'{name} {score:.2f}' for name, score in zip(names, scores, strict=True)]


def _write_plates(picture: np.ndarray, plates: Sequence[
        tuple[str, tuple[int, int], tuple[int, int, int]]]) -> None:
    """Write names on plates: text, centre (x, y) and colour of each; a plate gives way to those
    that are there."""
    scale = float(np.clip(max(picture.shape[:2]) / 1200, 0.35, 1.2))
    taken: list[_Plate] = []
    for name, centre, colour in plates:
        places = [_plate(picture.shape[:2], name, centre, scale, shift) for shift in SHIFTS]
        plate = min(places, key=lambda place: sum(map(place.shared, taken)))
        taken.append(plate)
        _write_plate(picture, plate, name, colour, scale)


def _middle(region: _Region) -> tuple[int, int]:
    """The pixel (x, y) of the mask that is farthest from its border."""
    framed = cv2.copyMakeBorder(region.mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return int(x + region.columns.start), int(y + region.rows.start)


def _plate(size: tuple[int, int], text: str, centre: tuple[int, int], scale: float,
           shift: int) -> _Plate:
    """The plate around ``centre``, so many of its heights further down, inside the picture."""
    height, width = size
    (text_width, text_height), below = cv2.getTextSize(text, FONT, scale, 1)
    middle = centre[1] + shift * (text_height + below + 1)
    left = int(np.clip(centre[0] - text_width // 2, 1, max(1, width - text_width - 1)))
    base = int(np.clip(middle + text_height // 2, text_height + 1, max(1, height - below)))
    return _Plate(left - 1, base - text_height - 1, left + text_width, base + below - 1, below)


def _write_plate(picture: np.ndarray, plate: _Plate, text: str, colour: tuple[int, int, int],
                 scale: float) -> None:
    cv2.rectangle(picture, (plate.left, plate.top), (plate.right, plate.bottom), colour,
                  cv2.FILLED)
    cv2.putText(picture, text, (plate.left + 1, plate.bottom - plate.below + 1), FONT, scale,
                _contrast(colour), 1, cv2.LINE_AA)


def _contrast(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever is read better on ``colour`` (luma of ITU-R BT.601)."""
    luma = float(np.dot(colour, (0.299, 0.587, 0.114)))
    return (0, 0, 0) if luma > 140 else (255, 255, 255)
