"""Bring the Penn-Fudan pedestrians into COCO's instance format.

    python tools/dataset_converters/pennfudan.py PennFudanPed data/pennfudan

The source has ``PNGImages/NAME.png`` and ``PedMasks/NAME_mask.png``, whose values number the
pedestrians. Of the photos in a fixed random order the last 50 are held out. A run that was
interrupted goes on where it stopped; nothing that exists is written over.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from preparing import (
    check_instances,
    convert_split,
    paired_names,
    write_json_once,
    write_photo_once,
)

from unimask.cli import leave, run_tool
from unimask.datasets.coco_writing import instance_entry
from unimask.datasets.transforms.io import read_image, read_index_map
from unimask.errors import UserError

HELD_OUT = 50


def splits_of(source: Path) -> dict[str, list[tuple[int, str]]]:
    """Numbers and names of the photos, by split."""
    names = sorted(path.stem for path in (source / 'PNGImages').glob('*.png'))
    if len(names) <= HELD_OUT:
        raise UserError(f'{source / "PNGImages"} has {len(names)} photos, not 170. Unpack '
                        'PennFudanPed.zip and name its folder PennFudanPed.')
    order = np.random.RandomState(0).permutation(len(names)).tolist()
    chosen = dict(train=sorted(order[:-HELD_OUT]), val=sorted(order[-HELD_OUT:]))
    return {split: [(i + 1, names[i]) for i in numbers] for split, numbers in chosen.items()}


def convert(source: Path, target: Path, split: str, photos: list[tuple[int, str]]) -> None:
    """Write photos as JPEG and the annotation of one split."""
    result = target / 'annotations' / f'instances_{split}.json'
    number_of = {name: number for number, name in photos}

    def make(name: str) -> list:
        photo = read_image(str(source / 'PNGImages' / f'{name}.png'))
        write_photo_once(target / 'images' / split / f'{name}.jpg', photo[..., ::-1])
        numbers = read_index_map(str(source / 'PedMasks' / f'{name}_mask.png'))
        return [photo.shape, [
            instance_entry(numbers == number, image_id=number_of[name], category_id=1)
            for number in np.unique(numbers[numbers > 0])]]

    def publish(records: list) -> None:
        entries = [entry for _, found in records for entry in found]
        write_json_once(
            result,
            images=[dict(id=number, file_name=f'{name}.jpg', height=shape[0], width=shape[1])
                    for (number, name), (shape, _) in zip(photos, records, strict=True)],
            annotations=[dict(entry, id=number) for number, entry in enumerate(entries, start=1)],
            categories=[dict(id=1, name='person')])
    convert_split(list(number_of), make, results=(result,), publish=publish,
                  check=lambda: check_instances(result, images=len(photos)))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Convert the Penn-Fudan pedestrians.')
    parser.add_argument('source', type=Path, help='the folder PennFudanPed')
    parser.add_argument('target', type=Path, help='folder to be made')
    args = parser.parse_args(argv)
    splits = splits_of(args.source)
    paired_names((args.source / 'PNGImages', '.png'), (args.source / 'PedMasks', '_mask.png'))
    for split, photos in splits.items():
        print(f'{split}:')
        convert(args.source, args.target, split, photos)
    return 0


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
