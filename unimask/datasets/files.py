"""Checks that the files of a dataset are there, before training starts."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence

from unimask.datasets.reporting import some, warn
from unimask.errors import UserError

__all__ = ['check_file', 'check_files', 'check_folder', 'check_prefixes', 'warn_of_unused']

REMEDY = 'Mend the dataset, or point to it with `--cfg-options data_root=/path/to/data`.'


def _is_remote(path: str) -> bool:
    return '://' in path


def check_file(path: str, *, owner: str, key: str) -> None:
    """Raise an error that names file and config key, unless the file is there.

    Raises:
        UserError: If there is no such file.
    """
    if not _is_remote(path) and not os.path.isfile(path):
        raise UserError(f'{owner}: the file {path} (key `{key}`) is not there. {REMEDY}')


def check_folder(path: str, *, owner: str, key: str) -> None:
    """Raise an error that names folder and config key, unless the folder is there.

    Raises:
        UserError: If there is no such folder.
    """
    if not _is_remote(path) and not os.path.isdir(path):
        raise UserError(f'{owner}: the folder {path} (key `{key}`) is not there. {REMEDY}')


def check_prefixes(prefixes: Mapping[str, str], needed: Sequence[str], *, owner: str) -> None:
    """Raise an error unless ``data_prefix`` names the folders that a dataset type needs.

    Raises:
        UserError: With the keys that are missing.
    """
    missing = [key for key in needed if key not in prefixes]
    if missing:
        raise UserError(
            f'{owner}: `data_prefix` has no {missing}. It names folders: '
            f'data_prefix=dict({", ".join(f"{key}=..." for key in needed)}).')


def check_files(paths: Iterable[str], *, owner: str, source: str) -> None:
    """Raise one error that names the first missing files, if any are missing.

    Each folder is listed once, which is far cheaper than asking for every file.

    Args:
        paths: Files that must exist.
        owner: Dataset type, for the message.
        source: What names these files, for the message.

    Raises:
        UserError: If a file or its folder is missing.
    """
    names_of = defaultdict(list)
    for path in paths:
        if not _is_remote(path):
            folder, name = os.path.split(path)
            names_of[folder].append(name)
    missing = [os.path.join(folder, name)
               for folder, names in names_of.items() for name in _missing(folder, names)]
    if missing:
        raise UserError(
            f'{owner}: {source} names files that are not there: {some(missing)}. {REMEDY}')


def warn_of_unused(folder: str, *, suffix: str, used: Container[str], owner: str) -> None:
    """Warn of label maps that no image goes with, as where images are unpacked in part.

    Args:
        folder: Of the label maps.
        suffix: How they end.
        used: Paths of those that have an image.
        owner: Dataset type, for the message.
    """
    if _is_remote(folder):
        return
    paths = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names
             if name.endswith(suffix)]
    unused = sorted(path for path in paths if path not in used)
    if unused:
        warn(f'{owner}: {len(unused)} of {len(paths)} label maps of {folder} have no image: '
             f'{some(unused)}. Were the images unpacked only in part?')


def _missing(folder: str, names: Sequence[str]) -> list[str]:
    present = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    return [name for name in names if name not in present]
