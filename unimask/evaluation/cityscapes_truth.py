"""Cityscapes' own ground truth, and its classes by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from unimask.errors import UserError

__all__ = ['label_ids', 'read_instance_ids']

_IMAGE, _TRUTH = 'leftImg8bit', 'gtFine'


def read_instance_ids(img_path: str, metric: str) -> np.ndarray:
    """Read ``gtFine/.../*_gtFine_instanceIds.png`` of an image below ``leftImg8bit``.

    Args:
        img_path: Of the image.
        metric: Who reads, for messages.

    Returns:
        (h, w) int64: label id, or label id * 1000 + number.

    Raises:
        UserError: If there is no such file.
    """
    image = Path(img_path)
    parts = [_TRUTH if part == _IMAGE else part for part in image.parent.parts]
    path = Path(*parts) / image.name.replace(f'{_IMAGE}.png', f'{_TRUTH}_instanceIds.png')
    if path == image or not path.is_file():
        raise UserError(
            f'{metric} reads the ground truth of {img_path} from {path}, which does not exist. '
            f'Unpack gtFine beside {_IMAGE} (data_root of the dataset), or use MaskAPMetric for '
            f'AP and MeanIoUMetric for mIoU.')
    return np.array(Image.open(path)).astype(np.int64)


def label_ids(classes: Sequence[str], metric: str) -> list[int]:
    """Cityscapes' label ids of classes.

    Raises:
        UserError: If a class is none of Cityscapes.
    """
    from cityscapesscripts.helpers.labels import name2label
    return [_label(name, name2label, metric).id for name in classes]


def _label(name: str, known: Mapping, metric: str) -> object:
    if name not in known:
        raise UserError(
            f'the class {name!r} is none of Cityscapes; {metric} only scores its classes.')
    return known[name]
