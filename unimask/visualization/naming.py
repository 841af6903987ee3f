"""Names of pictures that are written."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import PurePath

__all__ = ['unique_names']


def unique_names(paths: Sequence[str | PurePath]) -> list[str]:
    """A file name without suffix for every path, none of them twice.

    It is the path's own, ``x`` for ``a/x.jpg``. Only pictures that would then share one are told
    apart: by their suffix (``x_jpg``, ``x_png``), else by their folders below the one that they
    have in common (``a_x``, ``b_x``), else by both, else by a number in their order. Names that
    differ in upper and lower case alone count as the same, since some file systems think so.

    Args:
        paths: Of the pictures; they need not exist.

    Returns:
        The names, in the same order.
    """
    paths = [PurePath(path) for path in paths]
    names = [path.stem for path in paths]
    for rule in (_with_suffix, _with_folders, _with_both):
        for group in _clashes(names):
            others = rule([paths[index] for index in group])
            if len({name.casefold() for name in others}) == len(group):
                for index, name in zip(group, others, strict=True):
                    names[index] = name
    return _numbered(names)


def _clashes(names: Sequence[str]) -> list[list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        groups[name.casefold()].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _with_suffix(paths: Sequence[PurePath]) -> list[str]:
    return [_suffixed(path) for path in paths]


def _with_folders(paths: Sequence[PurePath]) -> list[str]:
    return _below_common(paths, lambda path: path.stem)


def _with_both(paths: Sequence[PurePath]) -> list[str]:
    return _below_common(paths, _suffixed)


def _suffixed(path: PurePath) -> str:
    return '_'.join([path.stem, *filter(None, [path.suffix[1:]])])


def _below_common(paths: Sequence[PurePath], last: Callable[[PurePath], str]) -> list[str]:
    folders = [os.path.abspath(path.parent) for path in paths]
    common = os.path.commonpath(folders)
    inside = [PurePath(os.path.relpath(folder, common)) for folder in folders]
    return ['_'.join([*(part for part in folder.parts if part != '.'), last(path)])
            for folder, path in zip(inside, paths, strict=True)]


def _numbered(names: Sequence[str]) -> list[str]:
    taken = {name.casefold() for name in names}
    seen: set[str] = set()
    unique = []
    for name in names:
        chosen, number = name, 1
        while chosen.casefold() in seen or (number > 1 and chosen.casefold() in taken):
            number += 1
            chosen = f'{name}_{number}'
        seen.add(chosen.casefold())
        unique.append(chosen)
    return unique
