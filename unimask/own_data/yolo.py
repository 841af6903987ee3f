"""Polygons in YOLO's format: a text file for each picture, and a YAML file with the classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from unimask.errors import UserError
from unimask.own_data.headers import size_of
from unimask.own_data.outlined import Labelled, as_own_data
from unimask.own_data.pairs import find_places, pictures_of
from unimask.own_data.parts import OwnData, Splitting
from unimask.own_data.telling import progress

__all__ = ['YoloLayout', 'find_yolo']

_BEYOND = 0.01  # of the picture, by which a corner may be outside


@dataclass(frozen=True)
class YoloLayout:
    """Pictures with text files of polygons.

    Attributes:
        folder: The user's.
        names: Of the classes, by number.
        pictures: Pictures and text files, by ``train``, ``val``, ``test`` or None.
    """

    folder: Path
    names: tuple[str, ...]
    pictures: dict[str | None, list[tuple[Path, Path]]]
    task: str = 'instance'

    @property
    def format(self) -> str:
        """Its name."""
        return f'YOLO polygons ({sum(map(len, self.pictures.values()))} pictures)'

    def prepare(self, out: Path, splitting: Splitting) -> OwnData:
        """Read every text file; write them as instance files."""
        entries = [(split, pair) for split, pairs in self.pictures.items() for pair in pairs]
        found: dict[str | None, list[Labelled]] = defaultdict(list)
        for split, (image, labels) in progress(entries, f'reading the polygons of {self.folder}'):
            found[split].append(_labelled(image, labels, self.names))
        return as_own_data(found, self.names, layout_format=self.format, folder=self.folder,
                           out=out, splitting=splitting)


def find_yolo(folder: Path) -> list[YoloLayout]:
    """Text files of polygons beside pictures, and the YAML file with the classes.

    ``images`` beside ``labels``, with the same folders in both, or ``train/images`` beside
    ``train/labels``.

    Raises:
        UserError: There are text files, but no names.
    """
    pictures: dict[str | None, list[tuple[Path, Path]]] = defaultdict(list)
    for place in find_places(folder):
        pairs = [(image, place.labels / image.relative_to(place.images).with_suffix('.txt'))
                 for image in pictures_of(place.images)]
        if any(labels.is_file() for _, labels in pairs):
            for image, labels in pairs:  # a picture without text file shows no object
                pictures[place.split_of(image)].append((image, labels))
    return [YoloLayout(folder, _names(folder), dict(pictures))] if pictures else []


def _names(folder: Path) -> tuple[str, ...]:
    for file in sorted([*folder.glob('*.yaml'), *folder.glob('*.yml')]):
        try:
            content = yaml.safe_load(file.read_text(encoding='utf-8'))
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(f'{file} is no YAML file ({error}).') from error
        if isinstance(content, Mapping) and content.get('names'):
            return _in_order(content['names'], file)
    raise UserError(f'{folder} has text files as YOLO has them, but no YAML file with `names`, the '
                    'classes. Put data.yaml beside the folders: names: [person, car].')


def _in_order(names: object, file: Path) -> tuple[str, ...]:
    if isinstance(names, Mapping) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or len(set(map(str, names))) < len(names):
        raise UserError(f'{file}: `names` is {names!r}. It must be a list of different names, or '
                        'have a name for every number from 0 on.')
    return tuple(map(str, names))


def _labelled(image: Path, labels: Path, names: tuple[str, ...]) -> Labelled:
    height, width = size_of(image)
    objects = list(_objects(labels, names, height, width)) if labels.is_file() else []
    return Labelled(image, (height, width), objects)


def _objects(labels: Path, names: tuple[str, ...], height: int, width: int) -> Iterator[dict]:
    for number, line in enumerate(labels.read_text().splitlines(), 1):
        if line.strip():
            category, points = _numbers(line, names, where=f'{labels}, line {number}')
            yield _entry(category, points * (width, height))


def _numbers(line: str, names: tuple[str, ...], *, where: str) -> tuple[int, np.ndarray]:
    """Category and corners x, y (n, 2), as shares of width and height."""
    try:
        category, *values = (float(word) for word in line.split())
    except ValueError as error:
        raise UserError(f'{where}: there must be numbers alone ({error}).') from error
    if category not in range(len(names)):
        raise UserError(f'{where}: class {category:g} is not among the {len(names)} names '
                        f'(0 is {names[0]!r}).')
    if len(values) == 4:
        raise UserError(f'{where}: it has a box, not a polygon. Masks cannot be learnt from boxes; '
                        'export the data for segmentation.')
    if len(values) < 6 or len(values) % 2:
        raise UserError(f'{where}: a class and at least three corners x y are needed, there are '
                        f'{len(values)} numbers after the class.')
    points = np.reshape(values, (-1, 2))
    if points.min() < -_BEYOND or points.max() > 1 + _BEYOND:
        raise UserError(f'{where}: corners are shares of width and height, from 0 to 1; there is '
                        f'{points.flat[np.abs(points - 0.5).argmax()]:g}.')
    return int(category), points.clip(0, 1)


def _entry(category: int, points: np.ndarray) -> dict:
    """Entry of an instance file for corners (n, 2) in pixels."""
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    following = np.roll(points, -1, axis=0)
    twice = (points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]).sum()
    return dict(category_id=category, iscrowd=0, area=round(abs(float(twice)) / 2, 2),
                bbox=[round(float(side), 2) for side in (x0, y0, x1 - x0, y1 - y0)],
                segmentation=[[round(float(side), 2) for side in points.ravel()]])
