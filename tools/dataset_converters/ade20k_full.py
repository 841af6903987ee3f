"""Make label maps of 16 bits and a list of classes of the whole ADE20K (release 2021_17_01).

    python tools/dataset_converters/ade20k_full.py data/ADE20K_2021_17_01

The folder has ``index_ade20k.pkl`` and ``images/ADE/{training,validation}/**/*.jpg`` with a
``*_seg.png`` each, which are only read. Written are ``classes.txt`` (a name to a line, in the order
of the labels), ``images_detectron2/{training,validation}/*.jpg`` (copies) and
``annotations_detectron2/{training,validation}/*.tif`` (65535 = none of the classes). What is there
already is not made again, so that a run that was interrupted can go on.

The classes are those that occur in both splits, as objects and not only as parts of others, the
most frequent ones first. A ``classes.txt`` that is there already is kept: for published weights it
has the names in the order of their authors.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress
from PIL import Image
from preparing import copy_photo, write_map_once

from unimask.checkpoints import atomic_write_text
from unimask.checkpoints.arrays import ForbiddenError, read_arrays
from unimask.cli import leave, run_tool
from unimask.datasets import ADE20KFullSemanticDataset
from unimask.datasets.ade20k_full import COUNT
from unimask.errors import UserError

SPLITS = ('training', 'validation')
IGNORED = 65535
KEYS = ('objectnames', 'objectPresence', 'objectIsPart', 'folder')


def read_index(path: Path, *, trust: bool) -> dict:
    """The index of the release.

    Args:
        path: Of ``index_ade20k.pkl``.
        trust: Allow it to run code while it is read.

    Raises:
        ValueError: It wants more than arrays, or has not what is needed.
    """
    try:
        index = read_arrays(path, trust=trust)
    except ForbiddenError as error:
        raise ValueError(f'{path} holds more than arrays ({error}). If it comes from the authors '
                         'of ADE20K and you trust it: --trust-index') from error
    except (pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f'{path} is damaged ({error}): unpack it again') from error
    missing = [key for key in KEYS if not isinstance(index, dict) or key not in index]
    if missing:
        raise ValueError(f'{path} has no {", ".join(missing)}: is it the index of 2021_17_01?')
    return index


def choose_classes(index: dict) -> list[int]:
    """Numbers (from 0) of the objects that occur in both splits, most frequent first."""
    whole = np.maximum(np.asarray(index['objectPresence'], np.float64)
                       - np.asarray(index['objectIsPart'], np.float64), 0)
    splits = np.array([next((s for s in SPLITS if s in Path(str(folder)).parts), '')
                       for folder in index['folder']])
    counts = [whole[:, splits == split].sum(1) for split in SPLITS]
    chosen = np.flatnonzero((counts[0] > 0) & (counts[1] > 0))
    return chosen[np.argsort(-(counts[0] + counts[1])[chosen], kind='stable')].tolist()


def unique_names(names: list[str]) -> list[str]:
    """The names, numbered where the index has one more than once."""
    used: dict[str, int] = {}
    for number, name in enumerate(names):
        used[name] = used.get(name, 0) + 1
        if used[name] > 1:
            names[number] = f'{name} ({used[name]})'
    return names


def label_table(index: dict, file: Path) -> np.ndarray:
    """Label of every object number in a ``_seg.png`` (0 = none); writes the list where it lacks.

    Raises:
        ValueError: The list names what the index does not have.
    """
    names = unique_names([str(name).strip() for name in index['objectnames']])
    if not file.is_file():
        atomic_write_text(''.join(f'{names[i]}\n' for i in choose_classes(index)), file)
    wanted = ADE20KFullSemanticDataset.read_classes(str(file))['classes']
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ValueError(f'{file} names {unknown[:3]}, which the index does not have')
    if len(wanted) != COUNT:
        print(f'{file} has {len(wanted)} classes; published weights have {COUNT}')
    place = {name: number for number, name in enumerate(names, start=1)}
    table = np.full(2**16, IGNORED, np.uint16)
    table[[place[name] for name in wanted]] = np.arange(len(wanted))
    return table


def convert_image(photo: Path, root: Path, split: str, table: np.ndarray) -> None:
    """Write the picture and the label map of one image, unless they are there.

    Raises:
        ValueError: Label map and picture differ in size, or there is another map of this name.
    """
    labels = root / 'annotations_detectron2' / split / f'{photo.stem}.tif'
    copy = root / 'images_detectron2' / split / photo.name
    with Image.open(photo.with_name(f'{photo.stem}_seg.png')) as image:
        colours = np.asarray(image.convert('RGB')).astype(np.int64)
    with Image.open(photo) as image:
        if image.size[::-1] != colours.shape[:2]:
            raise ValueError(f'{photo} is {image.size[::-1]} (height, width), its labels are '
                             f'{colours.shape[:2]}')
    write_map_once(labels, table[colours[..., 0] // 10 * 256 + colours[..., 1]])
    copy_photo(photo, copy)


def convert(root: Path, split: str, table: np.ndarray) -> int:
    """Write the files of one split; returns the number of images."""
    folder = root / 'images/ADE' / split
    photos = sorted(folder.rglob('*.jpg'))
    missing = [str(path) for path in (p.with_name(f'{p.stem}_seg.png') for p in photos)
               if not path.is_file()]
    if missing or not photos:
        raise FileNotFoundError(f'{folder} has {len(photos)} images, {len(missing)} of them '
                                f'without label map, e.g. {missing[:3]}: unpack it again')
    for photo in track_iter_progress(photos):
        convert_image(photo, root, split, table)
    return len(photos)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Prepare ADE20K with all of its classes.')
    parser.add_argument('root', type=Path, help='the folder with the files of the release')
    parser.add_argument('--trust-index', action='store_true',
                        help='read the index even if it can run code')
    args = parser.parse_args(argv)
    try:
        index = read_index(args.root / 'index_ade20k.pkl', trust=args.trust_index)
        table = label_table(index, args.root / 'classes.txt')
        for split in SPLITS:
            print(f'\n{split}: {convert(args.root, split, table)} images')
    except (OSError, ValueError) as error:
        raise UserError(f'{error}.') from error
    return 0


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
