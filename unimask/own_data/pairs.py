"""Pictures and the label files that belong to them, found by their names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmengine.logging import print_log

from unimask.datasets.reporting import some
from unimask.errors import UserError
from unimask.own_data.parts import known_split

__all__ = ['PICTURES', 'Place', 'find_places', 'paired', 'pictures_of']

PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
_IMAGE_FOLDERS = ('images', 'image', 'imgs', 'img', 'jpegimages', 'pictures', 'photos')
_LABEL_FOLDERS = ('masks', 'mask', 'labels', 'label', 'annotations', 'annotation',
                  'segmentationclass', 'segmentation', 'label_maps', 'gt')


@dataclass(frozen=True)
class Place:
    """A folder of pictures and the folder of their labels.

    Attributes:
        split: What they are for, if the folder above says so.
        images: Folder of the pictures.
        labels: Folder of the labels.
    """

    split: str | None
    images: Path
    labels: Path

    def split_of(self, picture: Path) -> str | None:
        """What a picture is for, by the folders that it is in."""
        return known_split(picture.relative_to(self.images).parent) or self.split


def find_places(folder: Path) -> list[Place]:
    """Every folder of pictures with the folders of labels beside it, at most one level down."""
    above = [folder, *(path for path in sorted(folder.iterdir()) if path.is_dir())]
    found = []
    for place in above:
        split = known_split(place.relative_to(folder))
        found += [Place(split, images, labels) for images in _children(place, _IMAGE_FOLDERS)[:1]
                  for labels in _children(place, _LABEL_FOLDERS)]
    return found


def _children(folder: Path, names: Iterable[str]) -> list[Path]:
    """Folders of these names, in their order."""
    children = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    return [children[name] for name in names if name in children]


def pictures_of(folder: Path) -> Iterator[Path]:
    """All pictures in a folder and below, by name; hidden files are left out."""
    for path in sorted(folder.rglob('*')):
        if path.suffix.lower() in PICTURES and not path.name.startswith('.'):
            yield path


def paired(images: Mapping[str, Path], labels: Mapping[str, Path], *, where: str
           ) -> list[tuple[Path, Path]]:
    """Pictures with the label file of the same name, an ending such as ``_mask`` apart.

    Args:
        images: Paths by name without suffix.
        labels: Paths by name without suffix.
        where: The folder of the labels, for messages.

    Returns:
        The pairs, in the order of the pictures; empty where no picture has a label file.

    Raises:
        UserError: Some pictures have a label file and some have none.
    """
    endings = {ending for name in list(images)[:5] for ending in _endings(name, labels)}
    best = max(endings, default='', key=lambda ending: sum(
        name + ending in labels for name in images))
    without = [path for name, path in images.items() if name + best not in labels]
    if len(without) == len(images):
        return []
    if without:
        raise UserError(
            f'{len(without)} of {len(images)} pictures have no label file in {where}: '
            f'{some(without)}. Label them, or move them elsewhere.')
    used = {name + best for name in images}
    spare = [path for name, path in labels.items() if name not in used]
    if spare:
        print_log(f'{len(spare)} of {len(labels)} label files in {where} belong to no picture: '
                  f'{some(spare)}', 'current', level=logging.WARNING)
    return [(path, labels[name + best]) for name, path in images.items()]


def _endings(stem: str, labels: Iterable[str]) -> set[str]:
    """What the names of label files have after that of a picture."""
    return {name[len(stem):] for name in labels
            if name.startswith(stem) and not name[len(stem):len(stem) + 1].isalnum()} | {''}
