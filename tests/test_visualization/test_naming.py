"""Names of pictures that are written."""

import pytest

from unimask.visualization.naming import unique_names


@pytest.mark.parametrize('paths, names', [
    (['a/x.jpg', 'b/y.png'], ['x', 'y']),
    (['x.jpg', 'x.png', 'y.png'], ['x_jpg', 'x_png', 'y']),
    (['a/x.jpg', 'b/x.jpg'], ['a_x', 'b_x']),
    (['r/a/1/x.jpg', 'r/b/1/x.jpg', 'r/x.jpg'], ['a_1_x', 'b_1_x', 'x']),
    (['a/x.jpg', 'a/x.png', 'b/x.jpg'], ['a_x_jpg', 'a_x_png', 'b_x_jpg']),
    (['x.jpg', 'x.jpg', 'x.jpg'], ['x', 'x_2', 'x_3']),
    (['x.jpg', 'x.jpg', 'x_2.jpg'], ['x', 'x_3', 'x_2']),
    (['x.jpg', 'X.jpg'], ['x', 'X_2']),
    (['array_0', 'array_1', 'array_0.png'], ['array_0', 'array_1', 'array_0_png']),
    ([], []),
])
def test_names(paths, names):
    assert unique_names(paths) == names


def test_names_never_clash():
    paths = [f'{folder}/{stem}{number}{suffix}' for folder in ('a', 'a/b', 'c') for stem in 'xX'
             for number in ('', '_jpg', '_2', '_a', '_a_x') for suffix in ('.jpg', '.JPG', '.png')]
    paths += paths[::3]
    names = unique_names(paths)
    assert len({name.lower() for name in names}) == len(paths)
