"""What may be given as a picture: files, folders, patterns, arrays, PIL images, tensors.

Shapes: h, w pixels, c channels.
"""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image as PILImage

from unimask.datasets.transforms.io import pil_to_bgr, read_image
from unimask.errors import UserError
from unimask.visualization.naming import unique_names

__all__ = ['IMAGE_SUFFIXES', 'Image', 'Picture', 'as_bgr', 'collect', 'find_images']

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')
# Pictures and films that folders are likely to hold and that are left out.
_OTHER_SUFFIXES = ('.gif', '.heic', '.heif', '.avif', '.svg', '.jp2', '.jxl', '.dng', '.cr2',
                   '.nef', '.mp4', '.mov', '.avi', '.mkv', '.webm', '.npy', '.npz')

Source = str | np.ndarray | PILImage.Image | torch.Tensor
Image = Source | Path


@dataclass(frozen=True)
class Picture:
    """One picture to predict.

    Attributes:
        source: Path, or the pixels as they were given.
        path: The path; ``array_3`` for the fourth of a list where it is no file.
        name: Unique among the pictures of a call, for files.
    """

    source: Source
    path: str
    name: str

    def pixels(self) -> np.ndarray:
        """Array (h, w, 3) uint8, BGR.

        Raises:
            UserError: The file cannot be read, or the values are no picture.
        """
        try:
            if isinstance(self.source, str):
                return read_image(self.source)
            return as_bgr(self.source, name=self.path)
        except OSError as error:
            raise UserError(str(error)) from error


def collect(images: Image | Iterable[Image], *, recursive: bool = False,
            leave_out: str | Path | None = None) -> list[Picture]:
    """All pictures that are meant, with names that differ.

    Args:
        images: See :func:`find_images`.
        recursive: See :func:`find_images`.
        leave_out: Folder whose pictures are not meant when a folder above it is given.
    """
    sources = list(_sources(images, recursive=recursive, leave_out=leave_out))
    paths = [source if isinstance(source, str) else f'array_{number}'
             for number, source in enumerate(sources)]
    return [Picture(*parts) for parts in zip(sources, paths, unique_names(paths), strict=True)]


def find_images(images: Image | Iterable[Image], *, recursive: bool = False) -> list[Source]:
    """Every picture that a path, a folder, a pattern, pixels or a list of these means.

    Args:
        images: Path of a picture or folder, pattern (``shots/**/*.jpg``), array, PIL image or
            tensor; or several of these.
        recursive: Also look into the sub-folders of folders.

    Returns:
        Paths as text, the others as they are, in order; those of a folder by name.

    Raises:
        UserError: There is no such file, a folder or pattern has no pictures, or something is
            no picture at all.
    """
    return list(_sources(images, recursive=recursive, leave_out=None))


def as_bgr(values: np.ndarray | PILImage.Image | torch.Tensor, *, name: str = 'the picture'
           ) -> np.ndarray:
    """Pixels as the models' pipelines take them.

    Args:
        values: Array (h, w), (h, w, 1), (h, w, 3) in BGR or (h, w, 4) in BGRA, as OpenCV has
            them; tensor (h, w) or (c, h, w) in RGB or RGBA, as torchvision has them; or a PIL
            image, which is turned as its EXIF tag says. Numbers are uint8, uint16 (the upper byte
            is taken), bool, or floats from 0 to 1. Alpha is dropped.
        name: For messages.

    Returns:
        Array (h, w, 3) uint8, BGR.

    Raises:
        UserError: Other shapes, kinds or ranges of numbers.
    """
    if isinstance(values, PILImage.Image):
        return pil_to_bgr(values)
    tensor = isinstance(values, torch.Tensor)
    array = values.detach().cpu().numpy() if tensor else values
    wanted = '(h, w) or (c, h, w)' if tensor else '(h, w) or (h, w, c)'
    if array.ndim == 2:
        array = array[..., None]
    elif tensor and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise UserError(f'{name} is {"a tensor" if tensor else "an array"} of the shape '
                        f'{tuple(values.shape)}; a picture has {wanted} with 1, 3 or 4 channels. '
                        'Several pictures are given as a list.')
    array = _as_bytes(array, name)[..., :3]
    if array.shape[2] == 1:
        array = array.repeat(3, axis=2)
    return np.ascontiguousarray(array[..., ::-1] if tensor else array)


def _as_bytes(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f'{name} holds {array.dtype}; pixels are uint8, uint16, bool or floats '
                        'from 0 to 1. If its values are 0 to 255: .astype("uint8").')
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # also where it is NaN
        raise UserError(f'{name} holds floats from {low:g} to {high:g}, but they must be from 0 '
                        'to 1. If they are 0 to 255: .astype("uint8"); if they were normalised, '
                        'give the picture before that.')
    return np.rint(array * 255).astype(np.uint8)


def _sources(images: object, *, recursive: bool, leave_out: str | Path | None) -> Iterator[Source]:
    if isinstance(images, (np.ndarray, PILImage.Image, torch.Tensor)):
        yield images
    elif isinstance(images, (str, Path)):
        yield from _files(str(images), recursive=recursive, leave_out=leave_out)
    elif isinstance(images, Iterable) and not isinstance(images, (bytes, bytearray, dict, set)):
        for image in images:
            yield from _sources(image, recursive=recursive, leave_out=leave_out)
    else:
        raise UserError(f'{type(images).__name__} is no picture: give a path, a folder, a pattern '
                        'such as "shots/*.jpg", a NumPy array, a PIL image, a tensor, or a list '
                        'of these.')


def _files(text: str, *, recursive: bool, leave_out: str | Path | None) -> list[str]:
    path = Path(text).expanduser()
    if path.is_dir():
        return _in_folder(path, recursive=recursive, leave_out=leave_out)
    if path.exists():
        return [str(path)]
    if not glob.has_magic(text):
        raise UserError(f'there is no picture or folder {path}')
    found = sorted(glob.glob(str(path), recursive=True))
    pictures = [file for file in found
                if file.lower().endswith(IMAGE_SUFFIXES) and os.path.isfile(file)]
    if not pictures:
        raise UserError(f'no picture matches {path} ({len(found)} other files and folders do; '
                        f'pictures end in {", ".join(IMAGE_SUFFIXES)})')
    return pictures


def _in_folder(folder: Path, *, recursive: bool, leave_out: str | Path | None) -> list[str]:
    found: list[str] = []
    others: list[str] = []
    below = 0
    avoided = None if leave_out is None else Path(leave_out).resolve()
    for root, folders, files in os.walk(folder):
        below += len(folders)
        folders[:] = sorted(name for name in folders if recursive
                            and Path(root, name).resolve() != avoided)
        paths = [os.path.join(root, name) for name in sorted(files)]
        found += [path for path in paths if path.lower().endswith(IMAGE_SUFFIXES)]
        others += [path for path in paths if path.lower().endswith(_OTHER_SUFFIXES)]
    skipped = _skipped(others, 0 if recursive else below)
    if not found:
        raise UserError(f'the folder {folder} has no pictures ({", ".join(IMAGE_SUFFIXES)})'
                        + (f'; {skipped}' if skipped else ''))
    if skipped:
        print_log(f'{folder}: {skipped}', logger='current', level=logging.WARNING)
    return found


def _skipped(others: list[str], folders: int) -> str:
    """What a folder has besides its pictures."""
    parts = []
    if others:
        names = ', '.join(os.path.basename(path) for path in others[:3])
        parts.append(f'{len(others)} files of other kinds are left out ({names}'
                     f'{", ..." if len(others) > 3 else ""})')
    if folders:
        parts.append(f'its {folders} sub-folders are not looked into (--recursive, '
                     'recursive=True)')
    return ' and '.join(parts)
