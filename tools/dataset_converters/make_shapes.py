"""Generate the built-in Shapes dataset in COCO's formats.

    python tools/dataset_converters/make_shapes.py [ROOT] [--num-train N] [--num-val N] ...

A second run with the same numbers finds the files and does nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mmengine.utils import ProgressBar
from shapes_maker import make_shapes

from unimask.cli import leave, run_tool


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Generate the built-in Shapes dataset (COCO panoptic, COCO instance and '
        'semantic formats).', formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('root', type=Path, nargs='?', default=Path('data/shapes'),
                        help='folder of the dataset')
    parser.add_argument('--num-train', type=int, default=400, help='training scenes')
    parser.add_argument('--num-val', type=int, default=100, help='held-out scenes')
    parser.add_argument('--size', type=int, default=160, help='longer edge of the pictures')
    parser.add_argument('--seed', type=int, default=0, help='another seed gives other scenes')
    parser.add_argument('--processes', type=int, default=os.cpu_count() or 1,
                        help='how many draw scenes at the same time')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    bar = ProgressBar(args.num_train + args.num_val, start=False, file=sys.stderr)

    def progress() -> None:
        if bar.completed == 0:
            bar.start()
        bar.update()
        if bar.completed == bar.task_num:
            bar.file.write('\n')

    try:
        made = make_shapes(args.root, num_train=args.num_train, num_val=args.num_val,
                           size=args.size, seed=args.seed, processes=args.processes,
                           progress=progress if sys.stderr.isatty() else None)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    if made:
        print(f'{args.root}: {args.num_train} training and {args.num_val} held-out scenes made')
    else:
        print(f'{args.root}: already there, nothing to do')
    return 0


if __name__ == '__main__':
    leave(run_tool(main))
