"""Make label maps, panoptic and instance annotations of Mapillary Vistas from its instance maps.

    python tools/dataset_converters/mapillary.py data/mapillary

Below that folder there must be ``config.json`` (or ``config_v1.2.json``) of the data set and
``{training,validation}/instances/*.png`` (release 1.2) or ``.../v1.2/instances/*.png`` (release
2.0): 16 bit, 256 * label + number of the object. Written are, unless they were downloaded,
``{training,validation}/v1.2/labels/*.png``, ``v1.2/panoptic/`` with ``panoptic_2018.json`` and
PNGs, and ``v1.2/instances_2018.json``. Which labels are evaluated and which have instances the
config file says. A run that was interrupted goes on where it stopped; nothing that exists is
written over.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
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
from unimask.datasets.coco_writing import box_around, instance_entry
from unimask.datasets.transforms.io import read_index_map
from unimask.errors import UserError
from unimask.structures.panoptic import colour_ids

SPLITS = ('training', 'validation')
CONFIGS = ('config_v1.2.json', 'config.json')
_KEYS = {'readable', 'instances', 'evaluate'}


def read_labels(root: Path) -> list[dict]:
    """The labels in their order, from the data set's own config file.

    Raises:
        UserError: There is none, or it does not say what is asked of it.
    """
    path = next((root / name for name in CONFIGS if (root / name).is_file()), None)
    if path is None:
        raise UserError(f'{root} has no {" or ".join(CONFIGS)}, which the download has. Name the '
                        'folder that it was unpacked in.')
    try:
        labels = json.loads(path.read_text(encoding='utf-8'))['labels']
        lacking = [label for label in labels if not set(label) >= _KEYS]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path} is not the config file of Mapillary Vistas ({error!r}).') from None
    if lacking:
        raise UserError(f'{path}: the label {lacking[0]} has not all of {sorted(_KEYS)}.')
    return labels


def draw(codes: np.ndarray, labels: Sequence[dict]) -> tuple[np.ndarray, list[dict]]:
    """Segment ids (h, w) and entries of an instance map (h, w).

    Labels that are not evaluated are void; those without instances are one segment each. The
    category id of a label is its index plus one.
    """
    evaluated, things = (np.array([bool(label[key]) for label in labels])
                         for key in ('evaluate', 'instances'))
    classes, number = codes // 256, codes % 256
    if classes.max() >= len(labels):
        raise UserError(f'a pixel has the label {classes.max()}, the config file lists '
                        f'{len(labels)}.')
    keys = np.where(things[classes], codes, classes * 256)
    keys = np.where(evaluated[classes], keys + 1, 0)  # 0 is void, also for the first label
    ids = np.zeros(codes.shape, np.int32)
    segments = []
    for number, key in enumerate(np.unique(keys[keys > 0]).tolist(), start=1):
        mask = keys == key
        ids[mask] = number
        segments.append(dict(id=number, category_id=(key - 1) // 256 + 1, iscrowd=0,
                             area=int(mask.sum()), bbox=box_around(mask)))
    return ids, segments


def convert(root: Path, split: str, labels: Sequence[dict]) -> None:
    """Write the files of one split."""
    target = root / split / 'v1.2'
    folder = target / 'panoptic'
    source = next((place for place in (target / 'instances', root / split / 'instances')
                   if place.is_dir()), root / split / 'instances')
    names = paired_names((source, '.png'))
    paired_names((root / split / 'images', '.jpg'), (source, '.png'))
    panoptic, instances = folder / 'panoptic_2018.json', target / 'instances_2018.json'
    downloaded = panoptic.is_file() and not instances.is_file()

    def make(name: str) -> list:
        codes = read_index_map(str(source / f'{name}.png')).astype(np.int64)
        ids, segments = _drawn(source / f'{name}.png', codes, labels)
        write_map_once(target / 'labels' / f'{name}.png', (codes // 256).astype(np.uint8))
        if not downloaded:
            write_map_once(folder / f'{name}.png', colour_ids(ids))
        things = [instance_entry(ids == one['id'], image_id=name, category_id=one['category_id'])
                  for one in segments if labels[one['category_id'] - 1]['instances']]
        return [codes.shape, segments, things]

    def publish(records: list) -> None:
        images = [dict(id=name, file_name=f'{name}.jpg', height=shape[0], width=shape[1])
                  for name, (shape, _, _) in zip(names, records, strict=True)]
        things = [entry for _, _, entries in records for entry in entries]
        categories = [dict(id=number, name=label['readable'], isthing=int(label['instances']))
                      for number, label in enumerate(labels, start=1) if label['evaluate']]
        write_json_once(instances, images=images, annotations=[
            dict(entry, id=number) for number, entry in enumerate(things, start=1)],
            categories=[category for category in categories if category['isthing']])
        if not downloaded:
            write_json_once(panoptic, images=images, categories=categories, annotations=[
                dict(image_id=name, file_name=f'{name}.png', segments_info=segments)
                for name, (_, segments, _) in zip(names, records, strict=True)])
    convert_split(
        names, make, results=(panoptic, instances), publish=publish,
        check=lambda: '\n'.join((check_panoptic(panoptic, folder, images=len(names)),
                                 check_instances(instances, images=len(names)))))


def _drawn(path: Path, codes: np.ndarray, labels: Sequence[dict]) -> tuple[np.ndarray, list[dict]]:
    try:
        return draw(codes, labels)
    except UserError as error:
        raise UserError(f'{path}: {error}') from error


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Prepare Mapillary Vistas v1.2.')
    parser.add_argument('root', type=Path, help='folder with config.json, training, validation')
    args = parser.parse_args(argv)
    labels = read_labels(args.root)
    for split in SPLITS:
        print(f'{split}:')
        convert(args.root, split, labels)
    return 0


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
