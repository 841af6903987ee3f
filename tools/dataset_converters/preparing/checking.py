"""Whether input is complete, and whether output is sound."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from unimask.datasets.transforms.io import read_segment_ids
from unimask.errors import UserError


def paired_names(*places: tuple[Path, str]) -> list[str]:
    """Names of the files of the first folder, every one of which the others must have.

    Args:
        *places: Folder and what follows the name there, such as ``('labels', '.png')``.

    Raises:
        UserError: A folder is not there, is empty, or lacks files of the others: the data set is
            unpacked in part.
    """
    found = []
    for folder, suffix in places:
        if not folder.is_dir():
            raise UserError(f'the folder {folder} is not there. Name the folder that the download '
                            'was unpacked in, and unpack all of it.')
        names = {path.relative_to(folder).as_posix()[:-len(suffix)]
                 for path in folder.rglob(f'*{suffix}')}
        if not names:
            raise UserError(f'{folder} has no files *{suffix}. Unpack the download there.')
        found.append(names)
    for (folder, suffix), names in zip(places[1:], found[1:], strict=True):
        missing = sorted(found[0] - names)
        if missing:
            raise UserError(f'{folder} lacks {len(missing)} of {len(found[0])} files, e.g. '
                            f'{missing[0]}{suffix}: the download is unpacked in part. Unpack it '
                            'again.')
    return sorted(found[0])


def check_panoptic(path: Path, folder: Path, *, images: int | None = None) -> str:
    """Compare a panoptic file with its PNGs: the segments of each, and their areas.

    Args:
        path: The JSON file.
        folder: Of the PNGs.
        images: How many there should be, where that is known.

    Returns:
        What there is, in words.

    Raises:
        UserError: They do not agree.
    """
    annotations = _annotations(path, images)
    for entry in annotations:
        ids, areas = np.unique(read_segment_ids(str(folder / entry['file_name'])),
                               return_counts=True)
        there = {int(number): int(area) for number, area in zip(ids, areas, strict=True) if number}
        stated = {segment['id']: segment['area'] for segment in entry['segments_info']}
        if there != stated:
            number = min(key for key in there | stated if there.get(key) != stated.get(key))
            raise UserError(
                f'{folder / entry["file_name"]}: segment {number} has {there.get(number, 0)} '
                f'pixels, but {stated.get(number, 0)} in {path}. Remove both and convert again.')
    segments = sum(len(entry['segments_info']) for entry in annotations)
    return f'{path}: {len(annotations)} images with {segments} segments, all as in the PNGs'


def check_instances(path: Path, *, images: int | None = None) -> str:
    """Look whether the run-length codes of an instance file have the areas that it states.

    Arguments, result and errors are those of :func:`check_panoptic`.
    """
    content = _read(path)
    _check_count(path, len(content['images']), images)
    for entry in content['annotations']:
        if int(coco_mask.area(entry['segmentation'])) != entry['area']:
            raise UserError(f'{path}: the mask of annotation {entry["id"]} has another area than '
                            'stated. Remove the file and convert again.')
    return (f'{path}: {len(content["images"])} images with {len(content["annotations"])} '
            'instances')


def _annotations(path: Path, images: int | None) -> list[dict]:
    annotations = _read(path)['annotations']
    _check_count(path, len(annotations), images)
    return annotations


def _check_count(path: Path, count: int, expected: int | None) -> None:
    if expected is not None and count != expected:
        raise UserError(f'{path} has {count} images, the input {expected}. Move it elsewhere to '
                        'have it made anew.')


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise UserError(f'{path} is not a JSON file: {error}. Remove it and convert '
                        'again.') from None
