"""Which classes there are, which of them are things, and how they are painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unimask.errors import UserError

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Taxonomy:
    """The classes of a dataset; the label of a class is its index.

    Attributes:
        classes: Names, K of them.
        things: For each class, whether its instances are told apart.
        palette: RGB colour (0 to 255) of each class.

    Raises:
        UserError: If there are no classes or the lengths differ.
    """

    classes: tuple[str, ...]
    things: tuple[bool, ...]
    palette: tuple[Colour, ...]

    def __post_init__(self) -> None:
        if not self.classes:
            raise UserError('A taxonomy needs at least one class; `classes` is empty.')
        lengths = {len(self.classes), len(self.things), len(self.palette)}
        if len(lengths) > 1:
            raise UserError(
                f'A taxonomy states one thing flag and one colour per class, but it got '
                f'{len(self.classes)} classes, {len(self.things)} thing flags and '
                f'{len(self.palette)} colours.')

    @classmethod
    def from_metainfo(cls, metainfo: Mapping) -> Taxonomy:
        """Read a dataset's metainfo.

        Args:
            metainfo: ``classes`` (names); optionally ``thing_classes`` (names; without it every
                class may have instances) and ``palette`` (RGB per class).

        Raises:
            UserError: If ``classes`` is missing or ``thing_classes`` names an unknown class.
        """
        classes = _names(metainfo.get('classes'))
        if not classes:
            raise UserError(
                "The dataset's metainfo has no `classes`. State them where the dataset is "
                "configured: metainfo=dict(classes=('cat', 'dog', ...)).")
        thing_names = metainfo.get('thing_classes')
        things = classes if thing_names is None else _names(thing_names)
        unknown = sorted(set(things) - set(classes))
        if unknown:
            raise UserError(
                f'`thing_classes` of the metainfo names {unknown}, which `classes` does not have.')
        palette = metainfo.get('palette')
        if palette is None or len(palette) < len(classes):
            palette = distinct_colours(len(classes))
        colours = tuple(tuple(int(v) for v in colour) for colour in palette[:len(classes)])
        return cls(classes, tuple(name in set(things) for name in classes), colours)

    @cached_property
    def num_classes(self) -> int:
        """K, without no-object."""
        return len(self.classes)

    @cached_property
    def thing_ids(self) -> tuple[int, ...]:
        """Labels of the classes whose instances are told apart."""
        return tuple(i for i, thing in enumerate(self.things) if thing)

    def is_thing(self, label: int) -> bool:
        """Whether instances of the class with this label are told apart."""
        return self.things[label]

    def to_metainfo(self) -> dict:
        """The same as a dataset's metainfo."""
        return dict(
            classes=self.classes,
            thing_classes=tuple(self.classes[i] for i in self.thing_ids),
            stuff_classes=tuple(
                name for name, thing in zip(self.classes, self.things, strict=True) if not thing),
            palette=[tuple(colour) for colour in self.palette])


def _names(value: Sequence[str] | str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(str(name) for name in value)


def distinct_colours(count: int) -> list[Colour]:
    """``count`` colours that differ well: hues in golden-ratio steps, three brightnesses."""
    colours = []
    for index in range(count):
        hue = (index * 0.618034) % 1.0 * 6
        value = (0.95, 0.75, 0.55)[index % 3]
        ramp = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
        rgb = 255 * value * (1 - 0.7 * (1 - ramp))
        colours.append(tuple(int(v) for v in rgb))
    return colours
