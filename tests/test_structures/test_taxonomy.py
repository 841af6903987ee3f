"""Taxonomy from metainfo."""

import pytest

from unimask.structures import Taxonomy
from unimask.structures.taxonomy import distinct_colours


def test_from_metainfo() -> None:
    taxonomy = Taxonomy.from_metainfo(dict(
        classes=('sky', 'cat', 'dog'), thing_classes=['dog', 'cat'],
        palette=[(1, 2, 3), [4, 5, 6], (7, 8, 9)]))
    assert taxonomy.num_classes == 3
    assert taxonomy.things == (False, True, True)
    assert taxonomy.thing_ids == (1, 2)
    assert taxonomy.palette[1] == (4, 5, 6)
    assert Taxonomy.from_metainfo(taxonomy.to_metainfo()) == taxonomy


def test_every_class_is_a_thing_unless_said_otherwise() -> None:
    assert Taxonomy.from_metainfo(dict(classes=['a', 'b'])).things == (True, True)
    assert Taxonomy.from_metainfo(dict(classes=['a'], thing_classes=[])).things == (False,)


def test_a_single_name_is_one_class() -> None:
    assert Taxonomy.from_metainfo(dict(classes='person')).classes == ('person',)


def test_colours_differ_where_none_are_given() -> None:
    assert len(set(distinct_colours(60))) == 60


@pytest.mark.parametrize('metainfo, message', [
    (dict(), 'has no `classes`'),
    (dict(classes=()), 'has no `classes`'),
    (dict(classes=['a'], thing_classes=['b']), r"names \['b'\]"),
])
def test_errors(metainfo: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Taxonomy.from_metainfo(metainfo)
