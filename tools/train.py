"""Train a model: ``python tools/train.py CONFIG [options]``."""

from __future__ import annotations

import argparse

from unimask.cli import add_common_options, config_from, leave, run_tool
from unimask.errors import UserError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Train a model as a config says.',
        epilog='Without a config, on a folder of pictures and labels: unimask train --data FOLDER '
               '--out RUN; unimask train --data FOLDER --help says more.')
    add_common_options(parser)
    parser.add_argument('--amp', nargs='?', const='fp16', choices=('fp16', 'bf16', 'off'),
                        help='mixed precision; --amp alone means fp16. Default: as the config '
                             'says, float32 where there is no GPU')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate with the batch size of all processes')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='auto|PATH',
                        help='go on from a checkpoint; alone or auto: the last one in the work '
                             'directory')
    parser.add_argument('--seed', type=int, help='seed of all random numbers')
    parser.add_argument('--deterministic', action='store_true',
                        help='the same numbers in every run on the GPU too, somewhat slower')
    return parser.parse_args()


def main() -> None:
    """Train."""
    args = parse_args()
    from unimask.engine import Runner
    from unimask.preflight import prepare_config
    from unimask.report import report_after
    from unimask.utils import register_all_modules
    register_all_modules()
    cfg = config_from(args)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.seed is not None or args.deterministic:
        cfg.randomness = {**cfg.get('randomness', {}), 'deterministic': args.deterministic}
    if args.seed is not None:
        cfg.randomness.seed = args.seed
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise UserError('--auto-scale-lr: the config does not say for which batch size its '
                            'learning rate is meant; add auto_scale_lr=dict(base_batch_size=16).')
        cfg.auto_scale_lr.enable = True
    runner = Runner.from_cfg(prepare_config(cfg, mode='train', amp=args.amp))
    runner.train()
    report_after(runner.work_dir)


if __name__ == '__main__':
    leave(run_tool(main))
