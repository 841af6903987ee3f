"""Sizes of pictures from the heads of their files, which also tells early what is no picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from unimask.datasets.transforms.io import unreadable
from unimask.errors import UserError
from unimask.own_data.telling import progress

__all__ = ['check_pictures', 'check_size', 'size_of']

_ORIENTATION = 274  # tag of EXIF; above 4 the picture lies on its side
_FEW = 1000  # pictures that are looked at without a progress line
Size = tuple[int, int]


def size_of(image: Path) -> Size:
    """Height and width as the picture is looked at.

    Raises:
        UserError: It is no picture.
    """
    return _sizes(image)[-1]


def check_size(labels: Path, size: Sequence[int], image: Path) -> None:
    """Raise where labels are not of the size of their picture, upright or as it is stored.

    A picture that cannot be read has no size; :func:`check_pictures` tells of it.

    Args:
        labels: File of the labels.
        size: Their height and width.
        image: The picture.

    Raises:
        UserError: The sizes differ.
    """
    try:
        sizes = _sizes(image)
    except UserError:
        return
    if tuple(size) not in sizes:
        height, width = sizes[-1]
        raise UserError(f'{labels} has {size[0]} x {size[1]} pixels (height x width), its picture '
                        f'{image} {height} x {width}. They must have one size, pixel by pixel.')


def check_pictures(images: Sequence[Path]) -> None:
    """Raise where a file is not there or no picture.

    Raises:
        UserError: Names the first one.
    """
    looked_at: Iterable[Path] = images
    if len(images) > _FEW:
        looked_at = progress(images, f'looking at {len(images)} pictures')
    for image in looked_at:
        _sizes(image)


def _sizes(image: Path) -> tuple[Size, Size]:
    """Height and width as stored, and as the picture is looked at."""
    try:
        with Image.open(image) as picture:
            stored = picture.height, picture.width
            lies = picture.getexif().get(_ORIENTATION, 1) > 4
    except FileNotFoundError:
        raise UserError(f'The image {image} is not there.') from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(unreadable(image, 'image', error)) from error
    return stored, stored[::-1] if lies else stored
