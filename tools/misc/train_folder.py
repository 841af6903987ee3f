"""Train on a folder of pictures and labels, without a config: ``unimask train --data``."""

from __future__ import annotations

import argparse

from unimask.cli import leave, run_tool


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Train a model on a folder of pictures and labels. What the folder holds is '
                    'recognised; the config that is used is written to RUN/config.py.')
    parser.add_argument('--data', required=True, metavar='FOLDER',
                        help='COCO instances (also from Roboflow), COCO panoptic, images and label '
                             'maps, a PNG for every object, or YOLO polygons')
    parser.add_argument('--out', required=True, metavar='RUN',
                        help='folder for config, log and checkpoints')
    parser.add_argument('--model', default='auto', metavar='NAME',
                        help='such as mask2former-r50, mask2former-swin-t, mp-former-r50 '
                             '(default: mask2former-r50, without a GPU a small one)')
    parser.add_argument('--task', default='auto',
                        choices=('auto', 'semantic', 'instance', 'panoptic'),
                        help='needed where the folder has labels for several')
    parser.add_argument('--iters', type=int, metavar='N',
                        help='steps of the training (default: each picture is seen about 40 times)')
    parser.add_argument('--val-share', type=float, default=0.2, metavar='SHARE',
                        help='share of the pictures that is held out, where the folder does not '
                             'say which (default: %(default)s)')
    parser.add_argument('--weights', default='imagenet', metavar='imagenet|none|FILE',
                        help='where the training begins: the backbone from ImageNet, nothing, or '
                             'a trained model (default: %(default)s)')
    parser.add_argument('--seed', type=int, help='seed of all random numbers of the training')
    parser.add_argument('--amp', choices=('fp16', 'bf16', 'off'), help='mixed precision')
    parser.add_argument('--resume', action='store_true', help='go on with the run in RUN')
    return parser.parse_args()


def main() -> None:
    """Train."""
    args = parse_args()
    from unimask.own_data import train
    from unimask.own_data.training import next_steps
    checkpoint = train(
        args.data, args.out, model=args.model, task=args.task, iterations=args.iters,
        val_share=args.val_share, weights=None if args.weights == 'none' else args.weights,
        seed=args.seed, amp=args.amp, resume=args.resume)
    print(next_steps(checkpoint))


if __name__ == '__main__':
    leave(run_tool(main))
