"""The classes that a config states, checked before anything is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping

from unimask.errors import UserError, did_you_mean

__all__ = ['ChecksClasses', 'check_names']

_NAME_LISTS = ('classes', 'thing_classes', 'stuff_classes')


class ChecksClasses:
    """Mixin for datasets: refuses class lists that are not what their author meant.

    Where a config chooses some of the classes of a dataset type, what the type says of them (thing
    or stuff, colour) goes with them.
    """

    @classmethod
    def _load_metainfo(cls, metainfo: Mapping | None = None) -> dict:
        for key in _NAME_LISTS:
            _check_is_list((metainfo or {}).get(key), key, cls.__name__)
        loaded = super()._load_metainfo(metainfo)
        for key in _NAME_LISTS:
            check_names(loaded.get(key), key, cls.__name__)
        _follow_choice(loaded, set(metainfo or ()), cls.METAINFO)
        _check_subset(loaded, cls.__name__)
        return loaded


def _check_is_list(value: object, key: str, owner: str) -> None:
    """A lone string is the name of a file of names, or a forgotten comma."""
    if isinstance(value, str) and '://' not in value and not os.path.isfile(value):
        raise UserError(
            f'{owner}: metainfo.{key} is the text {value!r}, not a list of names. A tuple of one '
            f'name needs a comma: {key}=({value!r},).')
    if value is not None and not isinstance(value, (str, list, tuple)):
        raise UserError(f'{owner}: metainfo.{key} is {value!r}, not a list of names.')


def check_names(names: object, key: str, owner: str) -> None:
    """Raise an error unless all are names, and different ones.

    Raises:
        UserError: It names the owner and the key of its metainfo.
    """
    for name in names or ():
        if not isinstance(name, str) or not name.strip():
            raise UserError(f'{owner}: metainfo.{key} has {name!r}, which is no name.')
    twice = [name for name, count in Counter(names or ()).items() if count > 1]
    if twice:
        raise UserError(f'{owner}: metainfo.{key} has {twice[:5]} more than once; each class needs '
                        'a name of its own.')


def _follow_choice(loaded: dict, stated: set[str], own: Mapping) -> None:
    """Reduce what the type knows of its classes to the chosen ones; forget it for foreign ones."""
    classes, known = loaded.get('classes'), own.get('classes')
    if not classes or not known or tuple(classes) == tuple(known):
        return
    foreign = not set(classes) <= set(known)
    for key in {'thing_classes', 'stuff_classes', 'palette'} - stated:
        if foreign or key not in own:
            loaded.pop(key, None)
        elif key == 'palette':
            place = {name: number for number, name in enumerate(known)}
            loaded[key] = [tuple(own[key][place[name]]) for name in classes]
        else:
            loaded[key] = tuple(name for name in classes if name in own[key])


def _check_subset(loaded: Mapping, owner: str) -> None:
    classes = loaded.get('classes')
    for key in _NAME_LISTS[1:]:
        foreign = [name for name in loaded.get(key) or () if classes and name not in classes]
        if foreign:
            raise UserError(
                f'{owner}: metainfo.{key} has {foreign[:5]}, which metainfo.classes does not have.'
                f'{did_you_mean(foreign[0], classes)}')
