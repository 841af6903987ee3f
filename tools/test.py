"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT [options]``."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unimask.cli import add_common_options, config_from, leave, run_tool
from unimask.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

_OUT = {'.json': 'scores', '.csv': 'scores of every class', '.pkl': 'predictions'}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Evaluate a checkpoint.')
    add_common_options(parser)
    parser.add_argument('checkpoint', help='checkpoint file or URL, or the work directory of a run')
    parser.add_argument('--out', action='append', default=[], metavar='FILE',
                        help='write the scores (FILE.json), those of every class (FILE.csv) or '
                             'the predictions (FILE.pkl); may be given several times')
    parser.add_argument('--show-dir', help='write pictures of image, truth and prediction here')
    parser.add_argument('--tta', action='store_true',
                        help='merge the predictions of several sizes and mirror images (test-time '
                             'augmentation)')
    return parser.parse_args()


def main() -> None:
    """Evaluate."""
    args = parse_args()
    from unimask.engine import Runner
    from unimask.preflight import prepare_config, use_tta
    from unimask.utils import register_all_modules
    register_all_modules()
    out = {Path(name).suffix: name for name in args.out}
    _check_out(out)
    cfg = config_from(args)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    _add_outputs(cfg, predictions=out.get('.pkl'), pictures=args.show_dir)
    cfg = prepare_config(cfg, mode='test')
    if args.tta:
        use_tta(cfg)
    runner = Runner.from_cfg(cfg)
    scores = runner.test()
    _write(out, scores, runner.test_loop.evaluator.metrics)


def _check_out(out: Mapping[str, str]) -> None:
    """Refuse, before the evaluation, files that could not be written after it."""
    for suffix, name in out.items():
        if suffix not in _OUT:
            raise UserError(f'--out {name}: give a file name that ends with '
                            f'{", ".join(f"{key} ({what})" for key, what in _OUT.items())}.')
        folder = Path(name).resolve().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f'--out {name}: the folder {folder} cannot be made '
                            f'({error.strerror}).') from error
        if not os.access(folder, os.W_OK | os.X_OK) or Path(name).is_dir():
            raise UserError(f'--out {name}: nothing can be written there. Name another file.')


def _write(out: Mapping[str, str], scores: Mapping[str, float], metrics: Sequence) -> None:
    """Write scores and tables; only the first of several processes has the latter."""
    from mmengine.dist import is_main_process

    from unimask.checkpoints import atomic_write_text
    from unimask.evaluation import class_tables_csv
    if not is_main_process():
        return
    if '.json' in out:
        plain = {name: float(value) for name, value in scores.items()}
        atomic_write_text(json.dumps(plain, indent=2) + '\n', out['.json'])
    if '.csv' in out:
        tables = {metric.prefix: metric.class_tables for metric in metrics
                  if hasattr(metric, 'class_tables')}
        atomic_write_text(class_tables_csv(tables), out['.csv'])


def _add_outputs(cfg: Config, *, predictions: str | None, pictures: str | None) -> None:
    """Add what writes predictions and pictures during the evaluation."""
    if predictions:
        given = cfg.get('test_evaluator') or []
        cfg.test_evaluator = [*(given if isinstance(given, (list, tuple)) else [given]),
                              dict(type='DumpPredictions', out_file_path=predictions)]
    if pictures:
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []),
                            dict(type='PictureHook', out_dir=pictures)]


if __name__ == '__main__':
    leave(run_tool(main))
