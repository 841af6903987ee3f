"""What the values of label maps mean."""

from pathlib import Path

import pytest

from unimask.errors import UserError
from unimask.own_data.label_values import meaning_of
from unimask.own_data.names import read_names

FOLDER = Path('own')


@pytest.mark.parametrize(('values', 'names', 'classes', 'labels'), [
    ({0, 1, 2}, ('a', 'b', 'c'), ('a', 'b', 'c'), None),
    ({0, 1, 255}, ('a', 'b', 'c'), ('a', 'b', 'c'), None),
    ({0, 1, 2}, ('a', 'b'), ('a', 'b'), {0: 255, 1: 0, 2: 1}),
    ({0, 255}, ('a', 'b'), ('a', 'b'), {255: 1}),
    ({0, 255}, ('b',), ('background', 'b'), {255: 1}),
    ({0, 1}, ('b',), ('background', 'b'), None),
    ({0, 255}, None, ('background', 'foreground'), {255: 1}),
    ({0, 1}, None, ('background', 'foreground'), None),
    ({0, 1, 2}, None, ('class_0', 'class_1', 'class_2'), None),
    ({3, 7, 255}, None, ('class_3', 'class_7'), {3: 0, 7: 1}),
])
def test_meanings(values: set[int], names: tuple[str, ...] | None, classes: tuple[str, ...],
                  labels: dict[int, int] | None) -> None:
    meaning = meaning_of(values, names, folder=FOLDER)
    assert (meaning.classes, meaning.file_labels) == (classes, labels)


@pytest.mark.parametrize(('values', 'names', 'message'), [
    ({0, 1, 9}, ('a', 'b'), 'have the values 9, but the list of classes has 2 names'),
    ({0, 1, 2}, ('background', 'b'), 'have the values 2, but'),
    ({255}, None, 'nothing to learn'),
    (set(range(300)), None, 'look like pictures or depths'),
])
def test_values_without_meaning(values: set[int], names: tuple[str, ...] | None,
                                message: str) -> None:
    with pytest.raises(UserError, match=message):
        meaning_of(values, names, folder=FOLDER)


def test_lists_of_names(tmp_path: Path) -> None:
    assert read_names(tmp_path) is None
    (tmp_path / 'train').mkdir()
    (tmp_path / 'train' / '_classes.csv').write_text('Pixel Value, Class\n1, b\n0, a\n')
    assert read_names(tmp_path) == ('a', 'b')
    (tmp_path / 'classes.txt').write_text('\ufeffcat\n\n dog \n')
    assert read_names(tmp_path) == ('cat', 'dog')


@pytest.mark.parametrize(('name', 'text', 'message'), [
    ('classes.txt', 'a\na\n', "has the name 'a' twice"),
    ('classes.txt', '\n', 'is empty'),
    ('_classes.csv', 'x, y\n0, a\n2, b\n', r'names the classes \[0, 2\]'),
    ('_classes.csv', 'x, y\nzero, a\n', 'not a table of numbers and names'),
])
def test_wrong_lists(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_names(tmp_path)
