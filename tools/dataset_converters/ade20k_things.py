"""Make ADE20K's panoptic and instance annotations from the scene-parsing challenge's files.

    python tools/dataset_converters/ade20k_things.py data/ADEChallengeData2016

Below that folder there must be the files of two downloads: ``images`` and ``annotations``
(ADEChallengeData2016) and ``annotations_instance`` (the instance challenge; R = category 1 to 100,
G = number of the instance). Written are ``ade20k_panoptic_{train,val}.json`` with a folder of PNGs
each, and ``ade20k_instance_{train,val}.json``. Stuff comes from the semantic labels, things from
the instances, which win where both claim a pixel.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress
from PIL import Image

from unimask.cli import leave, run_tool
from unimask.datasets import ADE20KInstanceDataset, ADE20KPanopticDataset
from unimask.datasets.coco_writing import (
    box_around,
    instance_entry,
    write_json,
    write_segment_ids,
)
from unimask.datasets.transforms.io import read_index_map

SPLITS = dict(train='training', val='validation')
CLASSES = ADE20KPanopticDataset.METAINFO['classes']
THINGS = ADE20KInstanceDataset.METAINFO['classes']
THING_LABELS = [CLASSES.index(name) for name in THINGS]


def segments_of(labels: np.ndarray, instances: np.ndarray) -> Iterator[tuple[np.ndarray, int, int]]:
    """Segments of one image, stuff first.

    Args:
        labels: (h, w) semantic labels, 0 = unlabelled, 1 to 150.
        instances: (h, w, 3) of the instance challenge.

    Yields:
        Mask (h, w), label among the 150 classes, and among the 100 things (-1 for stuff).
    """
    for label in np.unique(labels[labels > 0]).tolist():
        if label - 1 not in THING_LABELS:
            yield labels == label, label - 1, -1
    category, number = instances[..., 0].astype(int), instances[..., 1].astype(int)
    codes = category * 256 + number
    for code in np.unique(codes[category > 0]).tolist():
        thing = code // 256 - 1
        yield codes == code, THING_LABELS[thing], thing


def convert(root: Path, split: str) -> tuple[int, int]:
    """Write the files of one split; returns the numbers of images and instances."""
    names = _names(root, SPLITS[split])
    folder = root / f'ade20k_panoptic_{split}'
    folder.mkdir(exist_ok=True)
    images, panoptic, things = [], [], []
    for name in track_iter_progress(names):
        labels = read_index_map(str(root / 'annotations' / SPLITS[split] / f'{name}.png'))
        source = root / 'annotations_instance' / SPLITS[split] / f'{name}.png'
        instances = np.asarray(Image.open(source).convert('RGB'))
        if instances.shape[:2] != labels.shape:
            raise ValueError(f'{source} is {instances.shape[:2]}, the labels are {labels.shape}')
        images.append(dict(id=name, file_name=f'{name}.jpg', height=labels.shape[0],
                           width=labels.shape[1]))
        ids, segments, entries = _draw(labels, instances, name)
        write_segment_ids(folder / f'{name}.png', ids)
        panoptic.append(dict(image_id=name, file_name=f'{name}.png', segments_info=segments))
        things += entries
    for number, entry in enumerate(things, start=1):
        entry['id'] = number
    write_json(root / f'ade20k_panoptic_{split}.json', images=images, annotations=panoptic,
               categories=[dict(id=i, name=name, isthing=int(i in THING_LABELS))
                           for i, name in enumerate(CLASSES)])
    write_json(root / f'ade20k_instance_{split}.json', images=images, annotations=things,
               categories=[dict(id=i, name=name) for i, name in enumerate(THINGS)])
    return len(images), len(things)


def _draw(labels: np.ndarray, instances: np.ndarray,
          name: str) -> tuple[np.ndarray, list[dict], list[dict]]:
    """Segment ids (h, w), the panoptic entries and the instance entries of one image."""
    ids = np.zeros(labels.shape, np.int64)
    found, entries = [], []
    for number, (mask, label, thing) in enumerate(segments_of(labels, instances), start=1):
        ids[mask] = number
        found.append((number, label))
        if thing >= 0:
            entries.append(instance_entry(mask, image_id=name, category_id=thing))
    segments = []
    for number, label in found:
        mask = ids == number
        if mask.any():  # stuff may be covered by things altogether
            segments.append(dict(id=number, category_id=label, iscrowd=0,
                                 area=int(mask.sum()), bbox=box_around(mask)))
    return ids, segments, entries


def _names(root: Path, folder: str) -> list[str]:
    for part in ('images', 'annotations', 'annotations_instance'):
        if not (root / part / folder).is_dir():
            raise FileNotFoundError(f'the folder {root / part / folder} is not there')
    names = sorted(path.stem for path in (root / 'annotations' / folder).glob('*.png'))
    missing = [name for name in names
               if not (root / 'annotations_instance' / folder / f'{name}.png').is_file()]
    if missing or not names:
        raise FileNotFoundError(
            f'{root / "annotations_instance" / folder} lacks the files of {len(missing)} of '
            f'{len(names)} images, e.g. {missing[:3]}')
    return names


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description='Make the panoptic and instance annotations of ADE20K.')
    parser.add_argument('root', type=Path, help='the folder ADEChallengeData2016')
    args = parser.parse_args(argv)
    try:
        for split in SPLITS:
            images, things = convert(args.root, split)
            print(f'\n{split}: {images} images, {things} instances')
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    leave(run_tool(main))
