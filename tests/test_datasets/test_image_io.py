"""Reading of all kinds of pictures, and of broken ones."""

import numpy as np
import pytest
from PIL import Image

from unimask.datasets.transforms.io import read_image, read_index_map, read_segment_ids
from unimask.errors import UserError

RGB = np.random.RandomState(0).randint(0, 256, (5, 7, 3), np.uint8)
GREY = RGB[..., 0]


def test_colour_is_bgr(tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'a.png')
    image = read_image(str(tmp_path / 'a.png'))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, RGB[..., ::-1])


def test_grey(tmp_path):
    Image.fromarray(GREY).save(tmp_path / 'a.png')
    np.testing.assert_array_equal(read_image(str(tmp_path / 'a.png')), GREY[..., None].repeat(3, 2))


def test_sixteen_bits_keep_the_upper_byte(tmp_path):
    for suffix in ('png', 'tif'):
        path = tmp_path / f'a.{suffix}'
        Image.fromarray(GREY.astype(np.uint16) * 256 + 99).save(path)
        np.testing.assert_array_equal(read_image(str(path)), GREY[..., None].repeat(3, 2))


def test_alpha_and_palette(tmp_path):
    alpha = np.dstack([RGB, GREY])
    Image.fromarray(alpha).save(tmp_path / 'a.png')
    np.testing.assert_array_equal(read_image(str(tmp_path / 'a.png')), RGB[..., ::-1])
    palette = Image.fromarray((GREY > 99).astype(np.uint8), mode='P')
    palette.putpalette([9, 8, 7, 1, 2, 3])
    palette.save(tmp_path / 'p.png')
    expected = np.where(GREY[..., None] > 99, (3, 2, 1), (7, 8, 9))
    np.testing.assert_array_equal(read_image(str(tmp_path / 'p.png')), expected)


def test_cmyk(tmp_path):
    flat = np.full((16, 16, 3), (200, 60, 30), np.uint8)
    Image.fromarray(flat).convert('CMYK').save(tmp_path / 'a.jpg', quality=95)
    image = read_image(str(tmp_path / 'a.jpg'))
    assert np.abs(image.astype(int) - flat[..., ::-1]).max() <= 4


def test_exif_rotation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(RGB).save(tmp_path / 'a.png', exif=exif)
    upright = read_image(str(tmp_path / 'a.png'))
    np.testing.assert_array_equal(upright, np.rot90(RGB[..., ::-1], -1))
    stored = read_image(str(tmp_path / 'a.png'), upright=False)
    np.testing.assert_array_equal(stored, RGB[..., ::-1])


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_truncated_and_unreadable(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    Image.fromarray(RGB.repeat(20, 0).repeat(20, 1)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) // 2])
    with pytest.raises(UserError, match=rf'a\.{suffix} cannot be read.*Replace'):
        read_image(str(path))
    path.write_bytes(b'no picture')
    for read in (read_image, read_index_map, read_segment_ids):
        with pytest.raises(UserError, match=rf'a\.{suffix} cannot be read'):
            read(str(path))
    path.unlink()
    for read in (read_image, read_index_map, read_segment_ids):
        with pytest.raises(UserError, match=rf'a\.{suffix} is not there'):
            read(str(path))


def test_index_map_of_a_palette_is_not_coloured(tmp_path):
    palette = Image.fromarray(GREY % 5, mode='P')
    palette.putpalette([200] * 768)
    palette.save(tmp_path / 'a.png')
    np.testing.assert_array_equal(read_index_map(str(tmp_path / 'a.png')), GREY % 5)


def test_index_map_with_colours(tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'a.png')
    with pytest.raises(UserError, match=r'a\.png has 3 channels'):
        read_index_map(str(tmp_path / 'a.png'))


def test_deep_index_map(tmp_path):
    deep = GREY.astype(np.uint16) * 200
    Image.fromarray(deep).save(tmp_path / 'a.tif')
    np.testing.assert_array_equal(read_index_map(str(tmp_path / 'a.tif')), deep)


def test_segment_ids(tmp_path):
    ids = RGB.astype(int) @ (1, 256, 65536)
    Image.fromarray(RGB).save(tmp_path / 'a.png')
    np.testing.assert_array_equal(read_segment_ids(str(tmp_path / 'a.png')), ids)
    Image.fromarray(GREY).save(tmp_path / 'g.png')
    np.testing.assert_array_equal(read_segment_ids(str(tmp_path / 'g.png')), GREY)
