"""Pictures with a folder of masks each, a PNG for every object."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unimask.datasets.coco_writing import instance_entry
from unimask.datasets.reporting import some
from unimask.datasets.transforms.io import read_index_map
from unimask.errors import UserError
from unimask.own_data.headers import check_size, size_of
from unimask.own_data.names import read_names
from unimask.own_data.outlined import Labelled, as_own_data
from unimask.own_data.pairs import find_places, pictures_of
from unimask.own_data.parts import OwnData, Splitting, known_split
from unimask.own_data.telling import progress

__all__ = ['ObjectMaskLayout', 'find_object_masks']

Entry = tuple[Path, tuple[Path, ...]]  # a picture and its masks


@dataclass(frozen=True)
class ObjectMaskLayout:
    """Pictures with a mask for every object.

    Attributes:
        folder: The user's.
        entries: Pictures and masks, by ``train``, ``val``, ``test`` or None.
    """

    folder: Path
    entries: dict[str | None, list[Entry]]
    task: str = 'instance'

    @property
    def format(self) -> str:
        """Its name."""
        pictures = [entry for group in self.entries.values() for entry in group]
        count = sum(len(masks) for _, masks in pictures)
        return f'a PNG for every object ({len(pictures)} pictures, {count} objects)'

    def prepare(self, out: Path, splitting: Splitting) -> OwnData:
        """Read every mask; write them as instance files."""
        names = read_names(self.folder)
        classes = names or ('object',)
        if names is not None and len(names) == 1:
            _check_only_class(names[0], self.entries.values())
        entries = [(split, entry) for split, group in self.entries.items() for entry in group]
        found: dict[str | None, list[Labelled]] = defaultdict(list)
        for split, (image, masks) in progress(entries, f'reading the masks of {self.folder}'):
            found[split].append(_labelled(image, masks, classes))
        return as_own_data(found, classes, layout_format=self.format, folder=self.folder, out=out,
                           splitting=splitting)


def find_object_masks(folder: Path) -> list[ObjectMaskLayout]:
    """Masks of single objects in a folder; one layout or none.

    Known are ``images/NAME.jpg`` with ``masks/NAME/*.png``, also below ``train`` and ``val``, and
    ``NAME/images/NAME.png`` with ``NAME/masks/*.png``.

    Raises:
        UserError: Some pictures have a folder of masks and some have none.
    """
    entries: dict[str | None, list[Entry]] = defaultdict(list)
    for place in _own_folders(folder):
        (image,), split = pictures_of(place / 'images'), known_split(
            place.relative_to(folder).parent)
        entries[split].append((image, tuple(pictures_of(place / 'masks'))))
    if not entries:
        for place in find_places(folder):
            for image, masks in _by_name(place.images, place.labels):
                entries[place.split_of(image)].append((image, masks))
    return [ObjectMaskLayout(folder, dict(entries))] if entries else []


def _own_folders(folder: Path) -> list[Path]:
    """Folders of a single picture with ``images`` and ``masks``."""
    return [place.parent for place in sorted(folder.glob('**/masks'))
            if len(place.relative_to(folder).parts) in (2, 3)
            and len(list(pictures_of(place.with_name('images')))) == 1]


def _by_name(images: Path, labels: Path) -> list[Entry]:
    found, without = [], []
    for image in pictures_of(images):
        place = labels / image.relative_to(images).with_suffix('')
        if place.is_dir():
            found.append((image, tuple(pictures_of(place))))
        else:
            without.append(image)
    if found and without:
        raise UserError(f'{len(without)} of {len(found) + len(without)} pictures have no folder of '
                        f'masks in {labels}: {some(without)}. An empty folder says that a '
                        'picture shows no object.')
    return found


def _labelled(image: Path, masks: Sequence[Path], classes: Sequence[str]) -> Labelled:
    objects, size = [], None
    for path in masks:
        mask = read_index_map(str(path)) > 0
        if mask.shape != size:  # the first one; all are as large as the picture
            check_size(path, mask.shape, image)
            size = mask.shape
        if mask.any():
            objects.append(instance_entry(mask, image_id=0,
                                          category_id=_category(path, classes)))
    return Labelled(image, size or size_of(image), objects)


def _check_only_class(name: str, groups: Iterable[Sequence[Entry]]) -> None:
    """Raise where some masks are called after the only class and some after another one."""
    masks = [path for group in groups for _, paths in group for path in paths]
    others = [path for path in masks if _word(path) not in ('', name)]
    if others and any(_word(path) == name for path in masks):
        raise UserError(f'the list of classes has {name!r} alone, but {len(others)} of '
                        f'{len(masks)} masks are called after others: {some(others)}. Add their '
                        'classes to the list, or move them elsewhere.')


def _word(path: Path) -> str:
    """The name of a mask without the number at its end."""
    return re.sub(r'[\s_.-]*\d*$', '', path.stem)


def _category(path: Path, classes: Sequence[str]) -> int:
    """Number of the class that the name of a mask begins with; the only one, if there is one."""
    if len(classes) == 1:
        return 0
    name = _word(path)
    if name not in classes:
        raise UserError(f'{path}: the list of classes has no {name!r}. Where there are several '
                        'classes, the name of a mask is that of its class and a number: '
                        f'{classes[0]}_1.png.')
    return list(classes).index(name)
