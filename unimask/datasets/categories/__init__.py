"""The classes of public data sets, as data: COCO's ``categories``, one to a line in a JSON file.

Names, order and colours are those of MMDetection and MMSegmentation, so that nothing differs where
their data sets are used beside these.
"""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ['all_classes', 'panoptic_classes', 'thing_classes']


def all_classes(name: str) -> dict:
    """Metainfo with all classes of a data set: ``classes`` and ``palette``.

    Args:
        name: Of a file in this folder, without suffix.
    """
    return _metainfo(_read(name))


def thing_classes(name: str) -> dict:
    """The same with the things alone."""
    return _metainfo([each for each in _read(name) if each['isthing']])


def panoptic_classes(name: str) -> dict:
    """The same with all classes, and with ``thing_classes`` and ``stuff_classes``."""
    categories = _read(name)
    things, stuff = (tuple(each['name'] for each in categories if bool(each['isthing']) is thing)
                     for thing in (True, False))
    return _metainfo(categories) | dict(thing_classes=things, stuff_classes=stuff)


def _read(name: str) -> list[dict]:
    return json.loads(Path(__file__).with_name(f'{name}.json').read_text(encoding='utf-8'))


def _metainfo(categories: list[dict]) -> dict:
    return dict(classes=tuple(each['name'] for each in categories),
                palette=[tuple(each['color']) for each in categories])
