"""Lists of class names beside a user's data."""

from __future__ import annotations

import csv
from pathlib import Path

from unimask.errors import UserError

__all__ = ['read_names']

_LISTS = ('classes.txt', 'labels.txt', 'class_names.txt')
_TABLE = '_classes.csv'  # Roboflow: Pixel Value, Class


def read_names(folder: Path) -> tuple[str, ...] | None:
    """Class names in the order of their numbers, None where there is no list.

    Read are ``classes.txt`` (or ``labels.txt``), a name to a line, and ``_classes.csv``, also in
    the folders one level down.

    Raises:
        UserError: The list is empty, has a name twice, or leaves a number out.
    """
    for place in (folder, *(path for path in sorted(folder.iterdir()) if path.is_dir())):
        for name in _LISTS:
            if (place / name).is_file():
                return _checked(_lines(place / name), place / name)
        if (place / _TABLE).is_file():
            return _checked(_column(place / _TABLE), place / _TABLE)
    return None


def _lines(file: Path) -> list[str]:
    lines = file.read_text(encoding='utf-8-sig').splitlines()
    return [line.strip() for line in lines if line.strip()]


def _column(file: Path) -> list[str]:
    with file.open(newline='', encoding='utf-8-sig') as stream:
        rows = [[cell.strip() for cell in row] for row in csv.reader(stream)]
    try:
        named = {int(row[0]): row[1] for row in rows[1:] if row}
    except (IndexError, ValueError) as error:
        raise UserError(f'{file} is not a table of numbers and names ({error}).') from error
    if sorted(named) != list(range(len(named))):
        raise UserError(f'{file} names the classes {sorted(named)}; it must name them from 0 on, '
                        'without a gap.')
    return [named[number] for number in range(len(named))]


def _checked(names: list[str], file: Path) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        raise UserError(f'{file} ' + (f'has the name {twice[0]!r} twice.' if twice
                                      else 'is empty.')
                        + ' It must have a name to a line, each of another class.')
    return tuple(names)
