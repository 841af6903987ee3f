"""What a folder of a user's data holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unimask.errors import UserError
from unimask.own_data.coco import CocoLayout, find_coco
from unimask.own_data.label_maps import LabelMapLayout, find_label_maps
from unimask.own_data.object_masks import find_object_masks
from unimask.own_data.parts import Layout
from unimask.own_data.yolo import find_yolo

__all__ = ['TASKS', 'recognise']

TASKS = ('auto', 'semantic', 'instance', 'panoptic')
_KNOWN = """\
  COCO instances       annotations/*.json or train/_annotations.coco.json, with outlines
  COCO panoptic        annotations/*.json and a folder of PNGs of the same name
  label maps           images/NAME.jpg and masks/NAME.png, classes.txt with a name to a line
  a PNG per object     images/NAME.jpg and masks/NAME/*.png
  YOLO polygons        images/NAME.jpg and labels/NAME.txt, data.yaml with `names`
each of them also with folders train and val, above or below these"""


def recognise(folder: Path, *, task: str = 'auto') -> Layout:
    """The data of a folder.

    Args:
        folder: It may be one of any of the formats in the message below.
        task: ``semantic``, ``instance`` or ``panoptic`` where the folder has labels for several;
            ``auto`` where it has labels for one.

    Raises:
        UserError: There is no such folder or nothing of this task in it, or there are several
            things, or what is there contradicts itself.
    """
    if task not in TASKS:
        raise UserError(f'task is {task!r}; known are {", ".join(TASKS)}.')
    if not folder.is_dir():
        raise UserError(f'{folder} is no folder. Name the one that has pictures and labels in it.')
    found = _all_layouts(folder)
    if not found:
        raise UserError(f'{folder} holds no labelled pictures that are known here. Known are:\n'
                        f'{_KNOWN}')
    fitting = [layout for layout in found if task in ('auto', layout.task)]
    if not fitting:
        raise UserError(f'{folder} has no labels for the task {task}: it is\n{_listed(found)}')
    if len(fitting) > 1:
        raise UserError(f'{folder} has labels of several kinds:\n{_listed(fitting)}\n'
                        'Choose one by its task (such as --task '
                        f'{fitting[0].task}), or move the others elsewhere.')
    return fitting[0]


def _all_layouts(folder: Path) -> list[Layout]:
    coco = find_coco(folder)
    objects = find_object_masks(folder)
    maps = [] if objects else find_label_maps(folder)  # whose PNGs would be taken for maps
    maps = [each for each in maps if not _is_panoptic(each, coco)]
    return [*coco, *objects, *find_yolo(folder), *maps]


def _is_panoptic(maps: LabelMapLayout, coco: Sequence[CocoLayout]) -> bool:
    """Whether the label maps are the PNGs of a panoptic file."""
    folders = {path for each in coco for path in each.label_folders()}
    return any(maps.label_folder.absolute().is_relative_to(path) for path in folders)


def _listed(layouts: Sequence[Layout]) -> str:
    return '\n'.join(f'  {each.task}: {each.format}' for each in layouts)
