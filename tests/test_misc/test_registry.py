"""The one function that builds parts of components."""

from __future__ import annotations

import pytest
from mmengine.registry import Registry

from unimask.registry import build

PARTS = Registry('part for tests')


@PARTS.register_module()
class Part:
    def __init__(self, *, width: int, depth: int = 2) -> None:
        self.width, self.depth = width, depth


def test_facts_fill_the_options_that_there_are() -> None:
    part = build(PARTS, dict(type='Part'), width=3, colour='red')
    assert (part.width, part.depth) == (3, 2)
    assert build(PARTS, dict(type=Part, width=5), width=3).width == 5


def test_objects_and_nothing_go_through() -> None:
    part = Part(width=1)
    assert build(PARTS, part, width=7) is part and part.width == 1
    assert build(PARTS, None, width=7) is None


def test_unknown_names_stay_the_registrys_error() -> None:
    with pytest.raises(KeyError, match='NoSuchPart'):
        build(PARTS, dict(type='NoSuchPart'), width=3)
