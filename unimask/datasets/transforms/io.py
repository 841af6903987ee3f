"""Reading images and label maps."""

from __future__ import annotations

import io

import numpy as np
from mmengine.fileio import get
from PIL import Image, ImageOps, UnidentifiedImageError

from unimask.errors import UserError
from unimask.structures.panoptic import ids_of_colours

__all__ = ['pil_to_bgr', 'read_image', 'read_index_map', 'read_segment_ids']

DEEP_MODES = ('I', 'I;16', 'I;16B', 'I;16L', 'I;16N')


def read_image(path: str, *, upright: bool = True) -> np.ndarray:
    """Read any picture as 8-bit colour.

    Grey, palette, CMYK and alpha images are converted (alpha is dropped); 16-bit values keep their
    upper byte.

    Args:
        path: Of the file.
        upright: Turn the picture as its EXIF tag says.

    Returns:
        Array (h, w, 3) uint8, BGR.

    Raises:
        UserError: If the file is missing, cannot be decoded or is truncated.
    """
    return pil_to_bgr(_open(path, 'image'), upright=upright)


def pil_to_bgr(image: Image.Image, *, upright: bool = True) -> np.ndarray:
    """The pixels of a PIL image of any mode, as :func:`read_image` gives them."""
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.mode in DEEP_MODES:
        grey = np.asarray(image).astype(np.int64)
        image = Image.fromarray((grey.clip(0, 65535) >> 8).astype(np.uint8))
    rgb = np.asarray(image.convert('RGB'))
    return np.ascontiguousarray(rgb[..., ::-1])


def read_index_map(path: str) -> np.ndarray:
    """Read a one-channel map of class indices; a palette is not applied.

    Returns:
        Array (h, w), uint8 or int32.

    Raises:
        UserError: If the file is missing, cannot be decoded, or has colour channels.
    """
    image = _open(path, 'label map')
    values = np.asarray(image)
    if values.ndim != 2:
        raise UserError(
            f'The label map {path} has {values.shape[-1]} channels ({image.mode}); it must have '
            'one, whose values are class indices.')
    return values if values.dtype == np.uint8 else values.astype(np.int32)


def read_segment_ids(path: str) -> np.ndarray:
    """Read a panoptic PNG: segment id = R + 256 G + 65536 B, or grey values as ids.

    Returns:
        Array (h, w) int32.

    Raises:
        UserError: If the file is missing or cannot be decoded.
    """
    image = _open(path, 'panoptic map')
    if image.mode in ('L', *DEEP_MODES):
        return np.asarray(image).astype(np.int32)
    return ids_of_colours(np.asarray(image.convert('RGB')))


def _open(path: str, what: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(get(path)))
        image.load()
    except FileNotFoundError:
        raise UserError(f'The {what} {path} is not there.') from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(unreadable(path, what, error)) from error
    return image


def unreadable(path: object, what: str, error: Exception) -> str:
    """What to say of a picture file that PIL failed to read."""
    # PIL's own text would name the buffer that the file was read into.
    unknown = isinstance(error, UnidentifiedImageError)
    reason = 'it is no picture of a known format' if unknown else error
    return (f'The {what} {path} cannot be read ({reason}). Replace the file, or remove it from the '
            'data set.')
