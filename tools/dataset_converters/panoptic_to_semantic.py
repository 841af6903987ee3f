"""Make label maps (semantic segmentation) of a data set in COCO panoptic format.

    python tools/dataset_converters/panoptic_to_semantic.py \
        data/coco/annotations/panoptic_train2017.json data/coco/annotations/semantic_train2017

The PNGs of segment ids are in the folder of the JSON file's name, or in that of ``--segments``.
Written are an index map for every image, whose values are the categories in the order of the file
and 255 where no segment is (for COCO 0 to 132), and ``classes.txt`` with their names, one a line.
Crowd regions have the class of their segment. What is there already is not made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.utils import track_iter_progress
from preparing import write_map_once

from unimask.checkpoints import atomic_write_text
from unimask.cli import leave, run_tool
from unimask.datasets.coco_reading import CocoFile, read_coco
from unimask.datasets.transforms.io import read_segment_ids
from unimask.errors import UserError
from unimask.structures.panoptic import lookup

VOID = 255


def label_map(ids: np.ndarray, segments: Sequence[Mapping], labels: Mapping) -> np.ndarray:
    """Labels (h, w) uint8 of segment ids (h, w).

    Args:
        ids: 0 where no segment is.
        segments: With ``id`` and ``category_id``; ids that are not listed become void.
        labels: By category id.
    """
    return lookup(torch.from_numpy(ids), [segment['id'] for segment in segments],
                  [labels[segment['category_id']] for segment in segments],
                  other=VOID, dtype=torch.uint8).numpy()


def convert(file: CocoFile, segments: Path, target: Path) -> tuple[int, int]:
    """Write the label maps of all images; returns their number, and how many were there."""
    labels = {category['id']: label for label, category in enumerate(file.categories)}
    if len(labels) > VOID:
        raise UserError(f'{file.path} has {len(labels)} categories; label maps of 8 bit tell at '
                        f'most {VOID} apart.')
    annotations = [entry for _, entry in file.checked(dict(file_name=str, segments_info=list))]
    _check(file, annotations, segments, labels)
    _write_classes(target / 'classes.txt', [category['name'] for category in file.categories])
    written = 0
    for entry in track_iter_progress(annotations):
        ids = read_segment_ids(str(segments / entry['file_name']))
        written += write_map_once((target / entry['file_name']).with_suffix('.png'),
                                  label_map(ids, entry['segments_info'], labels))
    return len(annotations), len(annotations) - written


def _check(file: CocoFile, annotations: Sequence[Mapping], folder: Path, labels: Mapping) -> None:
    """Before the first file is written: every PNG is there, every category is listed."""
    missing = [entry['file_name'] for entry in annotations
               if not (folder / entry['file_name']).is_file()]
    if missing:
        raise UserError(f'{folder} lacks {len(missing)} of the {len(annotations)} PNGs that '
                        f'{file.path} lists, e.g. {missing[0]}. Unpack them there, or name their '
                        'folder with --segments.')
    for number, entry in enumerate(annotations):
        for segment in entry['segments_info']:
            if segment.get('category_id') not in labels or 'id' not in segment:
                raise file.place(number).fault(f'its segment {segment} has no id, or a category '
                                               'that `categories` does not list.')


def _write_classes(path: Path, names: Sequence[str]) -> None:
    text = ''.join(f'{name}\n' for name in names)
    if not path.exists():
        atomic_write_text(text, path)
    elif path.read_text(encoding='utf-8') != text:
        raise UserError(f'{path} lists other classes: the folder has label maps of another data '
                        'set. Name another folder.')


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Label maps of a COCO panoptic data set.')
    parser.add_argument('json', type=Path, help='the panoptic annotation file')
    parser.add_argument('target', type=Path, help='folder to be made or to be completed')
    parser.add_argument('--segments', type=Path, metavar='FOLDER',
                        help='PNGs of segment ids (default: the folder of the name of the JSON '
                             'file, beside it)')
    args = parser.parse_args(argv)
    segments = args.segments or args.json.with_suffix('')
    if segments.resolve() == args.target.resolve():
        raise UserError(f'{args.target} is the folder of the input, which is only read. Name '
                        'another one.')
    file = read_coco(str(args.json), owner='panoptic_to_semantic')
    maps, known = convert(file, segments, args.target)
    print(f'\n{maps} label maps of {len(file.categories)} classes are in {args.target}; {known} of '
          'them were there already, as they should be')
    return 0


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
