"""Files that are written once, whole, and read back."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from unimask.checkpoints import atomic_file, atomic_write_bytes
from unimask.errors import UserError

FORMATS = {'.png': dict(format='PNG'), '.tif': dict(format='TIFF', compression='tiff_deflate')}


def write_map_once(path: Path, values: np.ndarray) -> bool:
    """Write a map (h, w) uint8 or uint16, or segment ids as colours (h, w, 3) uint8.

    Args:
        path: Ends with ``.png`` or ``.tif``.
        values: Of the pixels.

    Returns:
        Whether it was written; False if it was there.

    Raises:
        UserError: A file of this name has other content, or the disk does not keep what it gets.
    """
    if path.exists():
        if not _reads_as(path, values):
            raise _other(path)
        return False
    content = io.BytesIO()
    Image.fromarray(values).save(content, **FORMATS[path.suffix])
    atomic_write_bytes(content.getvalue(), path)
    if not _reads_as(path, values):
        raise _unsound(path)
    return True


def write_photo_once(path: Path, photo: np.ndarray) -> None:
    """Write a photo (h, w, 3) RGB uint8 as JPEG; one of this name and size stays as it is.

    Raises:
        UserError: A file of this name has another size.
    """
    if not path.exists():
        content = io.BytesIO()
        Image.fromarray(photo).save(content, 'JPEG', quality=90)
        atomic_write_bytes(content.getvalue(), path)
    with Image.open(path) as image:
        if image.size[::-1] != photo.shape[:2]:
            raise _other(path)


def copy_photo(source: Path, target: Path) -> None:
    """Copy a file, unless a whole copy (by its size) is there."""
    if not target.is_file() or target.stat().st_size != source.stat().st_size:
        with source.open('rb') as old, atomic_file(target) as new:
            shutil.copyfileobj(old, new)


def write_json_once(path: Path, *, images: Sequence[dict], annotations: Sequence[dict],
                    categories: Sequence[dict]) -> None:
    """Write an annotation file in one of COCO's formats.

    Raises:
        UserError: A file of this name has other content, or the disk does not keep what it gets.
    """
    content = dict(images=images, annotations=annotations, categories=categories)
    text = json.dumps(content).encode()
    if path.exists():
        if path.read_bytes() != text:
            raise _other(path)
        return
    atomic_write_bytes(text, path)
    if path.read_bytes() != text:
        raise _unsound(path)


def _reads_as(path: Path, values: np.ndarray) -> bool:
    try:
        with Image.open(path) as image:
            return np.array_equal(np.asarray(image), values)
    except (OSError, SyntaxError, ValueError):
        return False


def _other(path: Path) -> UserError:
    return UserError(f'{path} exists and has another content than would be written. Nothing is '
                     'ever written over: move it elsewhere, or remove it to have it made anew.')


def _unsound(path: Path) -> UserError:
    return UserError(f'{path} reads otherwise than it was written: look after the disk, remove the '
                     'file and start again.')
