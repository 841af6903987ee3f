"""Predict pictures: ``python tools/misc/predict.py PICTURE CONFIG CHECKPOINT --out-dir DIR``."""
from __future__ import annotations

import argparse

from unimask.cli import ConfigOptions, leave, run_tool


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Predict pictures.')
    parser.add_argument('images', help='a picture, or a folder of pictures')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file or URL')
    parser.add_argument('--out-dir', default='work_dirs/predict',
                        help='folder for pictures and predictions.json (default: %(default)s)')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a GPU if there is one)')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, default={},
                        metavar='KEY=VALUE', help='change keys of the config')
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='read checkpoints that can run code; only for files you trust')
    return parser.parse_args()


def main() -> None:
    """Predict."""
    args = parse_args()
    from unimask.apis import Inferencer
    from unimask.preflight import load_config
    from unimask.utils import register_all_modules
    register_all_modules()
    inferencer = Inferencer(
        load_config(args.config, args.cfg_options), args.checkpoint, device=args.device,
        trust_checkpoint=args.trust_checkpoint)
    samples = inferencer(args.images, out_dir=args.out_dir, batch_size=args.batch_size)
    print(f'{len(samples)} pictures and predictions.json are in {args.out_dir}')


if __name__ == '__main__':
    leave(run_tool(main))
