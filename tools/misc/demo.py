"""The whole library once, on the CPU, without any download: ``make demo``.

Makes the Shapes data, trains a small Mask2Former on a backbone with ImageNet weights, evaluates PQ,
mask AP and mIoU on held-out scenes, and writes pictures (image, truth, prediction), a report and a
summary. A run that was stopped goes on where it was; a finished one is only evaluated again.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config

from unimask.checkpoints import atomic_write_text, latest_checkpoint
from unimask.cli import leave, run_tool
from unimask.engine import Runner, peak_memory_mb
from unimask.errors import UserError
from unimask.ops.cpu.autocast import has_fast_bfloat16
from unimask.preflight import load_config, prepare_config
from unimask.report import PAGE, evaluate, report_after
from unimask.utils import register_all_modules

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/demo/mask2former_tf-efficientnet-lite0_shapes.py'
MAKER = ROOT / 'tools/dataset_converters/make_shapes.py'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'))
    parser.add_argument('--data-root', type=Path, default=Path('data/shapes'))
    parser.add_argument('--iters', type=int,
                        help='training iterations (default: those of the config)')
    parser.add_argument('--scenes', type=int, nargs=2, default=(1200, 100),
                        metavar=('TRAIN', 'VAL'), help='number of scenes to make')
    parser.add_argument('--seed', type=int, help='of the training (default: that of the config)')
    parser.add_argument('--pictures', type=int, default=12, help='number of pictures to write')
    parser.add_argument('--amp', choices=('auto', 'bf16', 'fp16', 'off'), default='auto',
                        help='precision of the training; auto: bf16 where the processor is fast '
                             'with it')
    parser.add_argument('--fresh', action='store_true', help='do not go on with an earlier run')
    return parser.parse_args()


def main() -> None:
    """Run the demo."""
    args = parse_args()
    register_all_modules()
    started = time.time()
    _make_data(args)
    seconds = dict(data=time.time() - started)
    cfg = _config(args)
    seconds['train'] = _train(cfg, args)
    started = time.time()
    scores = _evaluate(args)
    report_after(args.work_dir)
    seconds['test'] = time.time() - started
    summary = _summary(scores, seconds, cfg.train_cfg.max_iters)
    atomic_write_text(json.dumps(summary, indent=2) + '\n', args.work_dir / 'summary.json')
    print(json.dumps(summary, indent=2))
    print(f'Report: {args.work_dir / PAGE}, pictures: {args.work_dir / "pictures"}, summary: '
          f'{args.work_dir / "summary.json"}')
    print(f'Next, with pictures and labels of your own: {_command()} train --data FOLDER --out RUN')


def _make_data(args: argparse.Namespace) -> None:
    """Draw the scenes, unless they are there."""
    num_train, num_val = map(str, args.scenes)
    status = subprocess.call([sys.executable, MAKER, args.data_root, '--num-train', num_train,
                              '--num-val', num_val])
    if status:  # it has said why
        sys.exit(status)


def _config(args: argparse.Namespace) -> Config:
    options = {'data_root': str(args.data_root)}
    if args.iters:
        options['max_iters'] = args.iters
    if args.seed is not None:
        options['randomness.seed'] = args.seed
    cfg = load_config(CONFIG, options)
    cfg.work_dir = str(args.work_dir)
    cfg.resume = not args.fresh and latest_checkpoint(args.work_dir) is not None
    return cfg


def _train(cfg: Config, args: argparse.Namespace) -> float:
    """Train, or go on training; return the seconds that all parts took together."""
    clock = args.work_dir / 'seconds.json'
    before = json.loads(clock.read_text()) if cfg.resume and clock.is_file() else 0.0
    started = time.time()
    try:
        Runner.from_cfg(prepare_config(_evaluated_later(cfg), amp=_precision(args.amp))).train()
    except UserError as error:
        if not cfg.resume:
            raise
        raise UserError(f'{error} The demo goes on with what is in {args.work_dir}; --fresh '
                        'begins again.') from error
    finally:
        seconds = before + time.time() - started
        args.work_dir.mkdir(parents=True, exist_ok=True)
        atomic_write_text(json.dumps(seconds), clock)
    return seconds


def _precision(amp: str) -> str:
    if amp != 'auto':
        return amp
    return 'bf16' if torch.cuda.is_available() or has_fast_bfloat16() else 'off'


def _evaluated_later(cfg: Config) -> Config:
    """The scores are taken once, after the training."""
    cfg = cfg.copy()
    cfg.train_cfg.val_begin = cfg.train_cfg.max_iters + 1
    return cfg


def _evaluate(args: argparse.Namespace) -> dict[str, float]:
    """Scores of the last checkpoint on the held-out scenes; writes the pictures as well."""
    return evaluate(args.work_dir, hooks=[dict(
        type='PictureHook', out_dir=str(args.work_dir / 'pictures'), limit=args.pictures)])


def _summary(scores: dict[str, float], seconds: dict[str, float], iters: int) -> dict:
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    return dict(
        scores={name: None if math.isnan(value) else round(float(value), 2)
                for name, value in scores.items()},  # JSON knows no NaN
        seconds={**{name: round(value, 1) for name, value in seconds.items()},
                 'total': round(sum(seconds.values()), 1)},
        peak_memory_mb=round(max(peak_memory_mb(), children)), iterations=iters)


def _command() -> str:
    """What starts unimask's commands from here."""
    return 'unimask' if shutil.which('unimask') else f'{sys.executable} -m unimask'


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
