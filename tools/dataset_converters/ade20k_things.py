"""Make ADE20K's panoptic and instance annotations from the scene-parsing challenge's files.

    python tools/dataset_converters/ade20k_things.py data/ADEChallengeData2016

Below that folder there must be the files of two downloads: ``images`` and ``annotations``
(ADEChallengeData2016) and ``annotations_instance`` (the instance challenge; R = category 1 to 100,
G = number of the instance). Written are ``ade20k_panoptic_{train,val}.json`` with a folder of PNGs
each, and ``ade20k_instance_{train,val}.json``. Stuff comes from the semantic labels, things from
the instances, which win where both claim a pixel. A run that was interrupted goes on where it
stopped; nothing that exists is written over.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from preparing import (
    check_instances,
    check_panoptic,
    convert_split,
    paired_names,
    write_json_once,
    write_map_once,
)

from unimask.cli import leave, run_tool
from unimask.datasets import ADE20KInstanceDataset, ADE20KPanopticDataset
from unimask.datasets.coco_writing import box_around, instance_entry
from unimask.datasets.transforms.io import read_image, read_index_map
from unimask.errors import UserError
from unimask.structures.panoptic import colour_ids

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


def convert(root: Path, split: str) -> None:
    """Write the files of one split."""
    folder = root / f'ade20k_panoptic_{split}'
    panoptic, instance = (root / f'ade20k_{kind}_{split}.json' for kind in ('panoptic', 'instance'))
    places = [root / part / SPLITS[split] for part in ('annotations', 'annotations_instance')]
    names = paired_names(*((place, '.png') for place in places))
    paired_names((places[0], '.png'), (root / 'images' / SPLITS[split], '.jpg'))

    def make(name: str) -> list:
        labels, instances = _read(*(place / f'{name}.png' for place in places))
        ids, segments, entries = _draw(labels, instances, name)
        write_map_once(folder / f'{name}.png', colour_ids(ids))
        return [labels.shape, segments, entries]

    def publish(records: list) -> None:
        _write(panoptic, instance, dict(zip(names, records, strict=True)))

    def check() -> str:
        return '\n'.join((check_panoptic(panoptic, folder, images=len(names)),
                          check_instances(instance, images=len(names))))
    convert_split(names, make, results=(panoptic, instance), publish=publish, check=check)


def _read(labels_path: Path, instances_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Semantic labels (h, w) and the instance challenge's map (h, w, 3) of an image."""
    labels = read_index_map(str(labels_path))
    instances = read_image(str(instances_path))[..., ::-1]
    if instances.shape[:2] != labels.shape:
        raise UserError(f'{instances_path} is {instances.shape[:2]} (height, width), the labels '
                        f'are {labels.shape}.')
    if labels.max() > len(CLASSES) or instances[..., 0].max() > len(THINGS):
        raise UserError(f'{labels_path} or {instances_path} has a class beyond the {len(CLASSES)} '
                        f'labels and {len(THINGS)} things of the challenge.')
    return labels, instances


def _write(panoptic: Path, instance: Path, records: Mapping[str, list]) -> None:
    images = [dict(id=name, file_name=f'{name}.jpg', height=shape[0], width=shape[1])
              for name, (shape, _, _) in records.items()]
    things = [entry for _, _, entries in records.values() for entry in entries]
    write_json_once(
        instance, images=images,
        annotations=[dict(entry, id=number) for number, entry in enumerate(things, start=1)],
        categories=[dict(id=i, name=name) for i, name in enumerate(THINGS)])
    write_json_once(
        panoptic, images=images,
        annotations=[dict(image_id=name, file_name=f'{name}.png', segments_info=segments)
                     for name, (_, segments, _) in records.items()],
        categories=[dict(id=i, name=name, isthing=int(i in THING_LABELS))
                    for i, name in enumerate(CLASSES)])


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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description='Make the panoptic and instance annotations of ADE20K.')
    parser.add_argument('root', type=Path, help='the folder ADEChallengeData2016')
    args = parser.parse_args(argv)
    for split in SPLITS:
        print(f'{split}:')
        convert(args.root, split)
    return 0


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
