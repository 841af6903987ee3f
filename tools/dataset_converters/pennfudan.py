"""Bring the Penn-Fudan pedestrians into COCO's instance format.

    python tools/dataset_converters/pennfudan.py PennFudanPed data/pennfudan

The source has ``PNGImages/NAME.png`` and ``PedMasks/NAME_mask.png``, whose values number the
pedestrians. Of the photos in a fixed random order the last 50 are held out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress
from PIL import Image

from unimask.cli import leave, run_tool
from unimask.datasets.coco_writing import instance_entry, write_json
from unimask.datasets.transforms.io import read_image, read_index_map

HELD_OUT = 50


def splits_of(source: Path) -> dict[str, list[tuple[int, str]]]:
    """Numbers and names of the photos, by split."""
    names = sorted(path.stem for path in (source / 'PNGImages').glob('*.png'))
    if len(names) <= HELD_OUT:
        raise FileNotFoundError(f'{source / "PNGImages"} has {len(names)} photos, not 170')
    order = np.random.RandomState(0).permutation(len(names)).tolist()
    chosen = dict(train=sorted(order[:-HELD_OUT]), val=sorted(order[-HELD_OUT:]))
    return {split: [(i + 1, names[i]) for i in numbers] for split, numbers in chosen.items()}


def convert(source: Path, target: Path, split: str, photos: list[tuple[int, str]]) -> int:
    """Write photos as JPEG and the annotation of one split; returns the number of instances."""
    folder = target / 'images' / split
    folder.mkdir(parents=True, exist_ok=True)
    (target / 'annotations').mkdir(exist_ok=True)
    images, annotations = [], []
    for image_id, name in track_iter_progress(photos):
        photo = read_image(str(source / 'PNGImages' / f'{name}.png'))
        Image.fromarray(photo[..., ::-1]).save(folder / f'{name}.jpg', quality=90)
        images.append(dict(id=image_id, file_name=f'{name}.jpg', height=photo.shape[0],
                           width=photo.shape[1]))
        numbers = read_index_map(str(source / 'PedMasks' / f'{name}_mask.png'))
        for number in np.unique(numbers[numbers > 0]):
            annotations.append(instance_entry(numbers == number, image_id=image_id, category_id=1)
                               | dict(id=len(annotations) + 1))
    write_json(target / 'annotations' / f'instances_{split}.json', images=images,
               annotations=annotations, categories=[dict(id=1, name='person')])
    return len(annotations)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Convert the Penn-Fudan pedestrians.')
    parser.add_argument('source', type=Path, help='the folder PennFudanPed')
    parser.add_argument('target', type=Path, help='folder to be made')
    args = parser.parse_args(argv)
    try:
        for split, photos in splits_of(args.source).items():
            instances = convert(args.source, args.target, split, photos)
            print(f'\n{split}: {len(photos)} photos, {instances} instances')
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    leave(run_tool(main))
