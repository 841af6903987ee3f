"""Outlines of instances as an annotation file states them, checked as they are read."""

from __future__ import annotations

from collections.abc import Sequence

from unimask.datasets.coco_reading import CocoFile, Place
from unimask.datasets.reporting import warn

__all__ = ['Outlines']

MOSTLY = 0.5  # share of faulty outlines from which the file is wrong as a whole


class Outlines:
    """Takes the usable outlines of a file, and tells in the end what was wrong with the others.

    Args:
        file: The annotation file.
    """

    def __init__(self, file: CocoFile) -> None:
        self._file = file
        self._seen = 0
        self._missing: list[Place] = []
        self._outside: list[Place] = []
        self._normalised: list[Place] = []

    def take(self, place: Place) -> list | dict | None:
        """Polygons or run-length code of an annotation; something empty where it has none.

        Raises:
            UserError: If the outline is neither, or of another size than the image.
        """
        self._seen += 1
        shape = place.entry.get('segmentation')
        if isinstance(shape, dict):
            return self._code(shape, place)
        if shape is not None and not isinstance(shape, list):
            raise place.fault(f'`segmentation` is {shape!r}, neither polygons nor a run-length '
                              'code. Mend the file.')
        polygons = self._polygons(shape or [], place)
        if not polygons:
            self._missing.append(place)
        return polygons

    def report(self) -> None:
        """Warn of outlines that are of no use.

        Raises:
            UserError: If most of the file's are.
        """
        self._judge(self._normalised, 'polygons whose coordinates all lie between 0 and 1, as if '
                    'divided by width and height: they have to be in pixels')
        self._judge(self._outside, 'outlines outside of the image: no pixel belongs to them')
        self._judge(self._missing, 'no `segmentation` of three corners or more: they are left out, '
                    'as nothing says which pixels belong to them')

    def _judge(self, places: Sequence[Place], what: str) -> None:
        if not places:
            return
        image = self._file.images[places[0].entry['image_id']]
        text = (f'{len(places)} of {self._seen} annotations have {what}. The first is {places[0]} '
                f'of {image["file_name"]}. Mend the file.')
        if len(places) > MOSTLY * self._seen:
            raise self._file.fault(text)
        warn(str(self._file.fault(text)))

    def _code(self, code: dict, place: Place) -> dict:
        image = self._file.images[place.entry['image_id']]
        if not isinstance(code.get('size'), list) or not isinstance(code.get('counts'),
                                                                    (list, str)):
            raise place.fault('`segmentation` is an object, but not a run-length code with `size` '
                              '[height, width] and `counts`. Mend the file.')
        size = [image['height'], image['width']]
        if code['size'] != size:
            raise place.fault(f'its mask is {code["size"]} (height, width), its image '
                              f'{image["file_name"]} {size}.')
        return code

    def _polygons(self, shape: list, place: Place) -> list[list[float]]:
        """Those with three corners or more; COCO's tools skip the others too."""
        try:
            polygons = [p for p in shape if len(p) >= 6 and len(p) % 2 == 0]
            if polygons:
                self._look(polygons, place)
        except TypeError:
            raise place.fault('`segmentation` is a list, but not of polygons [[x0, y0, x1, y1, '
                              '...], ...] of numbers. Mend the file.') from None
        return polygons

    def _look(self, polygons: list[list[float]], place: Place) -> None:
        image = self._file.images[place.entry['image_id']]
        width, height = image['width'], image['height']
        low, high = min(map(min, polygons)), max(map(max, polygons))
        if high <= 1 and min(width, height) > 2:
            self._normalised.append(place)
        elif (low < 0 or high >= min(width, height)) and not any(
                _touches(polygon, width, height) for polygon in polygons):
            self._outside.append(place)


def _touches(polygon: list[float], width: float, height: float) -> bool:
    """Whether the polygon's box has a part of the image."""
    xs, ys = polygon[0::2], polygon[1::2]
    return min(xs) < width and max(xs) > 0 and min(ys) < height and max(ys) > 0
