"""What may be given as a picture."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.test_apis.conftest import noise
from unimask.apis.pictures import as_bgr, collect, find_images
from unimask.errors import UserError

BGR = noise()


def rgb_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array[..., ::-1].transpose(2, 0, 1)))


@pytest.mark.parametrize('form', [
    BGR, BGR.astype(np.uint16) * 256 + 3, BGR.astype(np.float32) / 255, BGR / 255.0,
    np.dstack([BGR, BGR[..., 0]]), Image.fromarray(BGR[..., ::-1]),
    Image.fromarray(np.dstack([BGR[..., ::-1], BGR[..., 0]])), rgb_tensor(BGR),
    rgb_tensor(BGR).float() / 255, rgb_tensor(BGR).half() / 255,
    torch.cat([rgb_tensor(BGR), rgb_tensor(BGR)[:1]]),
], ids=['uint8', 'uint16', 'float32', 'float64', 'bgra', 'pil', 'pil-rgba', 'tensor',
        'tensor-float', 'tensor-half', 'tensor-rgba'])
def test_colour_in_every_form(form):
    found = as_bgr(form)
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    assert np.array_equal(found, BGR)


@pytest.mark.parametrize('form', [
    BGR[..., 0], BGR[..., :1], Image.fromarray(BGR[..., 0]), torch.from_numpy(BGR[..., 0]),
    torch.from_numpy(BGR[None, ..., 0]), BGR[..., 0] / 255.0], ids=[
        'array', 'channel', 'pil', 'tensor', 'tensor-channel', 'float'])
def test_grey_in_every_form(form):
    assert np.array_equal(as_bgr(form), np.stack([BGR[..., 0]] * 3, -1))


def test_black_and_white():
    mask = BGR[..., 0] > 100
    assert np.array_equal(as_bgr(mask)[..., 1], np.where(mask, 255, 0))


def test_pil_images_are_turned_upright():
    image = Image.fromarray(BGR[..., ::-1])
    image.getexif()[0x0112] = 6
    assert as_bgr(image).shape == (60, 40, 3)


@pytest.mark.parametrize('values, message', [
    (BGR.astype(int), 'int64; .*astype'),
    (BGR.astype(float), 'floats from 0 to 255.*astype'),
    (BGR / 255.0 - 0.5, r'floats from -0\.5.*normalised'),
    (np.full((4, 4), np.nan), 'nan'),
    (np.stack([BGR, BGR]), r'array of the shape \(2, 40, 60, 3\).*list'),
    (np.zeros((4, 5, 2), np.uint8), r'\(h, w, c\) with 1, 3 or 4'),
    (np.zeros((0, 5, 3), np.uint8), r'shape \(0, 5, 3\)'),
    (torch.from_numpy(BGR), r'tensor of the shape \(40, 60, 3\).*\(c, h, w\)'),
    (np.array(['a']), 'shape'),
    (np.array([['a']]), '<U1'),
])
def test_other_values_are_named(values, message):
    with pytest.raises(UserError, match=message):
        as_bgr(values)


@pytest.mark.parametrize('thing, kind', [
    (3, 'int'), (None, 'NoneType'), (b'x.jpg', 'bytes'), ({'a': 1}, 'dict'), ([BGR, 3], 'int')])
def test_what_is_no_picture_is_named(thing, kind):
    with pytest.raises(UserError, match=f'{kind} is no picture'):
        find_images(thing)


def names(found: list) -> list[str]:
    return [os.path.basename(path) for path in found]


def test_folders_and_sub_folders(folder: Path):
    assert names(find_images(folder)) == ['x.jpg', 'x.png', 'y.png']
    assert names(find_images(folder, recursive=True)) == ['x.jpg', 'x.png', 'y.png', 'x.jpg']
    assert [picture.name for picture in collect(folder)] == ['x_jpg', 'x_png', 'y']
    assert len({picture.name for picture in collect(folder, recursive=True)}) == 4


def test_predictions_inside_the_folder_are_left_out(folder: Path):
    found = collect(folder, recursive=True, leave_out=folder / 'sub')
    assert [picture.name for picture in found] == ['x_jpg', 'x_png', 'y']


def test_patterns(folder: Path):
    assert names(find_images(f'{folder}/*.png')) == ['x.png', 'y.png']
    assert names(find_images(f'{folder}/**/x.*')) == ['sub/x.jpg'[4:], 'x.jpg', 'x.png']
    with pytest.raises(UserError, match=r'no picture matches .*\*\.bmp'):
        find_images(f'{folder}/*.bmp')
    (folder / 'a[1].png').write_bytes((folder / 'y.png').read_bytes())
    assert names(find_images(folder / 'a[1].png')) == ['a[1].png']


def test_lists_and_generators_of_anything(folder: Path):
    found = collect(each for each in [folder / 'y.png', BGR, [folder / 'x.png', torch.ones(3, 4)]])
    assert [picture.name for picture in found] == ['y', 'array_1', 'x', 'array_3']
    assert [picture.pixels().shape for picture in found] == [
        (40, 60, 3), (40, 60, 3), (40, 60, 3), (3, 4, 3)]


def test_what_a_folder_has_besides_is_said(folder: Path, caplog: pytest.LogCaptureFixture,
                                           monkeypatch: pytest.MonkeyPatch):
    said = []
    monkeypatch.setattr('unimask.apis.pictures.print_log',
                        lambda text, logger, level: said.append((text, level)))
    (folder / 'film.gif').touch()
    (folder / 'notes.txt').touch()
    find_images(folder)
    (text, level), = said
    assert level == logging.WARNING
    assert '1 files of other kinds are left out (film.gif)' in text and '1 sub-folders' in text
    assert 'notes' not in text


def test_a_folder_without_pictures_says_what_it_has(tmp_path: Path):
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'film.mp4').touch()
    with pytest.raises(UserError, match=r'has no pictures .*film\.mp4.* sub-folders .*recursive'):
        find_images(tmp_path)


def test_a_file_that_is_no_picture(tmp_path: Path):
    path = tmp_path / 'text.jpg'
    path.write_text('text')
    picture, = collect(path)
    with pytest.raises(UserError, match=r'text\.jpg cannot be read'):
        picture.pixels()
