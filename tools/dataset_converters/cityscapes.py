"""Prepare Cityscapes: label maps with train ids, panoptic and instance annotations.

    python tools/dataset_converters/cityscapes.py data/cityscapes

Below that folder there must be ``gtFine`` and ``leftImg8bit`` as downloaded. Written are
``gtFine/{train,val}/CITY/*_labelTrainIds.png``, ``gtFine/cityscapes_panoptic_{train,val}_trainId``
(by cityscapesscripts) and ``annotations/instancesonly_filtered_gtFine_{train,val}.json``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from cityscapesscripts.helpers.labels import labels
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from mmengine.utils import track_iter_progress
from PIL import Image

from unimask.cli import leave, run_tool
from unimask.datasets.coco_writing import instance_entry, write_json
from unimask.datasets.transforms.io import read_index_map

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


def write_label_maps(root: Path, split: str) -> int:
    """Write ``*_labelTrainIds.png`` beside each ``*_labelIds.png``; returns their number."""
    sources = _sources(root, split, 'labelIds')
    for source in track_iter_progress(sources):
        target = source.with_name(source.name.replace('_labelIds', '_labelTrainIds'))
        Image.fromarray(train_ids(read_index_map(str(source)))).save(target)
    return len(sources)


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


def write_instances(root: Path, split: str) -> int:
    """Write the instance file of a split; returns the number of instances."""
    images, annotations = [], []
    sources = _sources(root, split, 'instanceIds')
    for number, source in enumerate(track_iter_progress(sources)):
        ids = read_index_map(str(source))
        stem = source.name.removesuffix('_gtFine_instanceIds.png')
        images.append(dict(id=number, file_name=f'{source.parent.name}/{stem}_leftImg8bit.png',
                           height=ids.shape[0], width=ids.shape[1]))
        annotations += instances_of(ids, number)
    for number, entry in enumerate(annotations, start=1):
        entry['id'] = number
    folder = root / 'annotations'
    folder.mkdir(exist_ok=True)
    write_json(folder / f'instancesonly_filtered_gtFine_{split}.json', images=images,
               annotations=annotations,
               categories=[dict(id=i, name=name) for i, name in INSTANCE_CLASSES.items()])
    return len(annotations)


def _sources(root: Path, split: str, kind: str) -> list[Path]:
    paths = sorted((root / 'gtFine' / split).glob(f'*/*_gtFine_{kind}.png'))
    if not paths:
        raise FileNotFoundError(
            f'there are no {root / "gtFine" / split}/CITY/*_gtFine_{kind}.png; unpack '
            'gtFine_trainvaltest.zip there')
    return paths


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Prepare Cityscapes for the three tasks.')
    parser.add_argument('root', type=Path, help='folder with gtFine and leftImg8bit')
    args = parser.parse_args(argv)
    try:
        for split in SPLITS:
            maps = write_label_maps(args.root, split)
            instances = write_instances(args.root, split)
            print(f'\n{split}: {maps} label maps, {instances} instances')
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    convert2panoptic(str(args.root / 'gtFine'), useTrainId=True, setNames=list(SPLITS))
    return 0


if __name__ == '__main__':
    leave(run_tool(main))
