"""Bring COCO-Stuff 10k v1.1 into our layout, which is also MMSegmentation's.

    python tools/dataset_converters/coco_stuff10k.py cocostuff-10k-v1.1 data/coco_stuff10k

The source has ``images/*.jpg``, ``annotations/*.mat`` and ``imageLists/{train,test}.txt`` and is
only read. Written are ``images/{train2014,test2014}/*.jpg`` (copies) and
``annotations/{train2014,test2014}/*_labelTrainIds.png``, whose values are 0 = unlabelled and 1 to
171. What is there already is not made again, so that a run that was interrupted can go on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress
from PIL import Image
from preparing import copy_photo, write_map_once
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from unimask.cli import leave, run_tool
from unimask.datasets import COCOStuff10kDataset
from unimask.errors import UserError

SPLITS = dict(train='train2014', test='test2014')
SUFFIX = '_labelTrainIds.png'
# COCO counted 91 things and annotated 80 of them: these ids never occur.
UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
IDS = [number for number in range(1, 183) if number not in UNUSED]
NO_LABEL = 255
TABLE = np.full(256, NO_LABEL, np.uint8)
TABLE[[0, *IDS]] = np.arange(len(IDS) + 1)


def read_labels(path: Path) -> np.ndarray:
    """Label map (h, w) uint8 of a file of the release: 0 = unlabelled, 1 to 171.

    Raises:
        ValueError: The file is no MATLAB file, has no label map, or has other ids than v1.1.
    """
    try:
        content = loadmat(path, variable_names=('S', 'names'))
    except (NotImplementedError, MatReadError, ValueError, TypeError, EOFError) as error:
        raise ValueError(f'{path} cannot be read as a MATLAB file of the release ({error}). '
                         'Unpack cocostuff-10k-v1.1.zip again') from error
    if 'S' not in content:
        raise ValueError(f'{path} has no variable S, the label map of COCO-Stuff 10k')
    ids, names = content['S'], content.get('names')
    if names is not None and names.size == len(IDS) + 1:
        raise ValueError(f'{path} is of v1.0, which numbers the classes in another way: '
                         'get cocostuff-10k-v1.1.zip')
    wrong = ids[(ids < 0) | (ids > 255) | (TABLE[ids.astype(np.uint8)] == NO_LABEL)]
    if wrong.size:
        raise ValueError(f'{path} has the value {wrong.flat[0]}, which is no label of COCO-Stuff '
                         '10k v1.1')
    return TABLE[ids.astype(np.uint8)]


def convert_image(source: Path, target: Path, split: str, name: str) -> None:
    """Write the picture and the label map of one image, unless they are there.

    Raises:
        ValueError: Label map and picture differ in size, or there is another map of this name.
    """
    photo = source / 'images' / f'{name}.jpg'
    copy = target / 'images' / split / photo.name
    labels = target / 'annotations' / split / f'{name}{SUFFIX}'
    _write_labels(labels, read_labels(source / 'annotations' / f'{name}.mat'), photo)
    copy_photo(photo, copy)


def _write_labels(path: Path, labels: np.ndarray, photo: Path) -> None:
    with Image.open(photo) as image:
        if image.size[::-1] != labels.shape:
            raise ValueError(f'{photo} is {image.size[::-1]} (height, width), its labels are '
                             f'{labels.shape}')
    write_map_once(path, labels)


def convert(source: Path, target: Path, split: str) -> int:
    """Write the files of one split, ``train`` or ``test``; returns the number of images."""
    names = _names(source, split)
    for name in track_iter_progress(names):
        convert_image(source, target, SPLITS[split], name)
    folder = SPLITS[split]
    written = COCOStuff10kDataset(data_root=str(target), data_prefix=dict(
        img_path=f'images/{folder}', seg_map_path=f'annotations/{folder}'))
    found = {written[index]['img_id'] for index in range(len(written))}
    if found != set(names):
        odd = sorted(found ^ set(names))
        raise ValueError(f'{target / "images" / folder} has other images than {split}.txt lists, '
                         f'e.g. {odd[:3]}: use a folder without older files')
    return len(names)


def _names(source: Path, split: str) -> list[str]:
    """The images of a split by their list, after a look whether all files are there."""
    file = source / 'imageLists' / f'{split}.txt'
    names = file.read_text().split()
    missing = [str(path) for name in names
               for path in (source / f'images/{name}.jpg', source / f'annotations/{name}.mat')
               if not path.is_file()]
    if missing or not names:
        raise FileNotFoundError(f'{file} lists {len(names)} images, of which {len(missing)} files '
                                f'are not there, e.g. {missing[:3]}')
    return names


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Convert COCO-Stuff 10k v1.1.')
    parser.add_argument('source', type=Path, help='the folder with the files of the release')
    parser.add_argument('target', type=Path, help='folder to be made or to be completed')
    args = parser.parse_args(argv)
    try:
        if args.source.resolve() == args.target.resolve():
            raise ValueError('source and target are the same folder; the source is only read')
        for split in SPLITS:
            print(f'\n{split}: {convert(args.source, args.target, split)} images')
    except (OSError, ValueError) as error:
        raise UserError(f'{error}.') from error
    return 0


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
