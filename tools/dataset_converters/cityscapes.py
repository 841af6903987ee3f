"""Prepare Cityscapes: label maps with train ids, panoptic and instance annotations.

    python tools/dataset_converters/cityscapes.py data/cityscapes

Below that folder there must be ``gtFine`` and ``leftImg8bit`` as downloaded. Written are
``gtFine/{train,val}/CITY/*_labelTrainIds.png``, ``gtFine/cityscapes_panoptic_{train,val}_trainId``
(by cityscapesscripts) and ``annotations/instancesonly_filtered_gtFine_{train,val}.json``. A run
that was interrupted goes on where it stopped (in the panoptic maps, with the split that it was in);
nothing that exists is written over.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress
from preparing import (
    check_instances,
    check_panoptic,
    convert_split,
    write_json_once,
    write_map_once,
)

from unimask.cli import leave, run_tool
from unimask.datasets.coco_writing import instance_entry
from unimask.datasets.transforms.io import read_index_map
from unimask.errors import UserError

try:
    from cityscapesscripts.helpers.labels import labels
    from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
except ImportError as missing:
    print(f'error: {missing}: pip install cityscapesscripts', file=sys.stderr)
    raise SystemExit(2) from None

SPLITS = ('train', 'val')
INSTANCE_CLASSES = {label.id: label.name for label in labels
                    if label.hasInstances and not label.ignoreInEval}


def train_ids(label_ids: np.ndarray) -> np.ndarray:
    """Train ids (h, w) uint8 of label ids (h, w) uint8; 255 = ignore."""
    table = np.full(256, 255, np.uint8)
    for label in labels:
        if label.id >= 0 and not label.ignoreInEval:
            table[label.id] = label.trainId
    return table[label_ids]


def write_label_maps(root: Path, split: str) -> None:
    """Write ``*_labelTrainIds.png`` beside each ``*_labelIds.png``."""
    sources, written = _sources(root, split, 'labelIds'), 0
    for source in track_iter_progress(sources):
        target = source.with_name(source.name.replace('_labelIds', '_labelTrainIds'))
        written += write_map_once(target, train_ids(read_index_map(str(source))))
    print(f'\n{len(sources)} label maps, {len(sources) - written} of them were there already')


def instances_of(ids: np.ndarray, image_id: int) -> list[dict]:
    """Entries of an instance file for a map of instance ids (h, w).

    Ids from 1000 on are label id * 1000 + number; a smaller id of a class with instances is a
    group that could not be separated, a crowd.
    """
    entries = []
    for value in np.unique(ids).tolist():
        label = value // 1000 if value >= 1000 else value
        if label in INSTANCE_CLASSES:
            entries.append(instance_entry(ids == value, image_id=image_id, category_id=label,
                                          iscrowd=value < 1000))
    return entries


def write_instances(root: Path, split: str) -> None:
    """Write the instance file of a split."""
    sources = {path.name.removesuffix('_gtFine_instanceIds.png'): path
               for path in _sources(root, split, 'instanceIds')}
    names = sorted(sources)
    result = root / 'annotations' / f'instancesonly_filtered_gtFine_{split}.json'

    def make(name: str) -> list:
        ids = read_index_map(str(sources[name]))
        return [ids.shape, instances_of(ids, names.index(name))]

    def publish(records: list) -> None:
        entries = [entry for _, found in records for entry in found]
        write_json_once(
            result,
            images=[dict(id=number, height=shape[0], width=shape[1],
                         file_name=f'{sources[name].parent.name}/{name}_leftImg8bit.png')
                    for number, (name, (shape, _)) in enumerate(zip(names, records, strict=True))],
            annotations=[dict(entry, id=number) for number, entry in enumerate(entries, start=1)],
            categories=[dict(id=i, name=name) for i, name in INSTANCE_CLASSES.items()])
    convert_split(names, make, results=(result,), publish=publish,
                  check=lambda: check_instances(result, images=len(names)))


def write_panoptic(root: Path, split: str) -> None:
    """Write the panoptic file and maps of a split, by cityscapesscripts.

    They are made in a hidden folder that takes its place when it is complete.
    """
    name = f'cityscapes_panoptic_{split}_trainId'
    folder, result = root / 'gtFine' / name, root / 'gtFine' / f'{name}.json'
    draft, ready = (root / 'gtFine' / f'.{name}.{state}' for state in ('draft', 'ready'))
    if result.is_file():
        print(f'{result} is there already; looking whether everything is sound')
    elif folder.exists() and not ready.exists():
        raise UserError(f'{folder} exists without {result.name}: an earlier conversion, by another '
                        'tool, was not completed. Remove or move the folder.')
    elif not ready.exists():
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        convert2panoptic(str(root / 'gtFine'), str(draft), useTrainId=True, setNames=[split])
        os.replace(draft, ready)
    if ready.exists():
        _publish(ready, folder, result)
    print(check_panoptic(result, folder, images=len(_sources(root, split, 'instanceIds'))))


def _publish(ready: Path, folder: Path, result: Path) -> None:
    """Move what is complete to its place, the JSON file last; a kill may come in between."""
    if (ready / folder.name).exists():
        os.replace(ready / folder.name, folder)
    if (ready / result.name).exists():
        os.replace(ready / result.name, result)
    shutil.rmtree(ready)


def _sources(root: Path, split: str, kind: str) -> list[Path]:
    paths = sorted((root / 'gtFine' / split).glob(f'*/*_gtFine_{kind}.png'))
    images = {path.name for path in (root / 'leftImg8bit' / split).glob('*/*_leftImg8bit.png')}
    if not paths:
        raise UserError(
            f'there are no {root / "gtFine" / split}/CITY/*_gtFine_{kind}.png; unpack '
            'gtFine_trainvaltest.zip there')
    missing = images - {path.name.replace(f'gtFine_{kind}', 'leftImg8bit') for path in paths}
    if missing:
        raise UserError(f'gtFine lacks the *_gtFine_{kind}.png of {len(missing)} of {len(images)} '
                        f'images of {split}, e.g. of {min(missing)}: unpack '
                        'gtFine_trainvaltest.zip again.')
    return paths


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Prepare Cityscapes for the three tasks.')
    parser.add_argument('root', type=Path, help='folder with gtFine and leftImg8bit')
    args = parser.parse_args(argv)
    for split in SPLITS:
        print(f'{split}:')
        write_label_maps(args.root, split)
        write_instances(args.root, split)
        write_panoptic(args.root, split)
    return 0


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
