"""Formats that are brought into COCO's instance format: what they have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unimask.datasets.coco_writing import write_json
from unimask.own_data.coco import coco_part
from unimask.own_data.parts import OwnData, Part, Splitting
from unimask.own_data.splitting import train_and_val

__all__ = ['Labelled', 'as_own_data']


@dataclass(frozen=True)
class Labelled:
    """A picture with its objects.

    Attributes:
        image: Its file.
        size: Height and width in pixels.
        objects: Entries of an instance file without ids of their own and of the image.
    """

    image: Path
    size: tuple[int, int]
    objects: Sequence[dict]


def as_own_data(found: Mapping[str | None, Sequence[Labelled]], classes: Sequence[str], *,
                layout_format: str, folder: Path, out: Path, splitting: Splitting) -> OwnData:
    """Write an instance file for training and one for validation.

    Args:
        found: Pictures by ``train``, ``val``, ``test`` or None.
        classes: Names, by category id.
        layout_format: Name of the format, for people.
        folder: The user's; pictures are named relative to it.
        out: Folder of the files.
        splitting: How a validation set is split off where there is none.
    """
    train, val, note = train_and_val(found, splitting, where=str(folder))
    parts = [_part(group, classes, folder=folder, file=out / f'instance_{name}.json')
             for name, group in (('train', train), ('val', val))]
    return OwnData(layout_format, 'instance', *parts, (note,) if note else ())


def _part(group: Iterable[Labelled], classes: Sequence[str], *, folder: Path, file: Path) -> Part:
    images, annotations = [], []
    for number, each in enumerate(group, 1):
        images.append(dict(id=number, file_name=each.image.relative_to(folder).as_posix(),
                           height=each.size[0], width=each.size[1]))
        annotations += [entry | dict(image_id=number) for entry in each.objects]
    content = dict(
        images=images, categories=[dict(id=i, name=name) for i, name in enumerate(classes)],
        annotations=[entry | dict(id=number) for number, entry in enumerate(annotations, 1)])
    write_json(file, **content)
    return coco_part(dict(type='InstanceDataset', ann_file=str(file.absolute()),
                          data_prefix=dict(img=f'{folder.absolute()}/')), content)
