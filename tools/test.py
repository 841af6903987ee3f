"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT [options]``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from unimask.cli import add_common_options, config_from, leave, run_tool
from unimask.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Evaluate a checkpoint.')
    add_common_options(parser)
    parser.add_argument('checkpoint', help='checkpoint file or URL, or the work directory of a run')
    parser.add_argument('--out', action='append', default=[], metavar='FILE',
                        help='write the scores (FILE.json) or the predictions (FILE.pkl); may be '
                             'given twice')
    parser.add_argument('--show-dir', help='write pictures of image, truth and prediction here')
    parser.add_argument('--tta', action='store_true',
                        help='average over several sizes and mirror images (semantic)')
    return parser.parse_args()


def main() -> None:
    """Evaluate."""
    args = parse_args()
    import mmengine

    from unimask.engine import Runner
    from unimask.preflight import prepare_config, use_tta
    from unimask.utils import register_all_modules
    register_all_modules()
    out = {Path(name).suffix: name for name in args.out}
    if set(out) - {'.json', '.pkl'}:
        raise UserError('--out: give a file name that ends with .json (scores) or .pkl '
                        '(predictions).')
    cfg = config_from(args)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    _add_outputs(cfg, predictions=out.get('.pkl'), pictures=args.show_dir)
    cfg = prepare_config(cfg, mode='test')
    if args.tta:
        use_tta(cfg)
    scores = Runner.from_cfg(cfg).test()
    if '.json' in out:
        mmengine.mkdir_or_exist(str(Path(out['.json']).resolve().parent))
        mmengine.dump({name: float(value) for name, value in scores.items()}, out['.json'],
                      indent=2)


def _add_outputs(cfg: Config, *, predictions: str | None, pictures: str | None) -> None:
    """Add what writes predictions and pictures during the evaluation."""
    if predictions:
        given = cfg.get('test_evaluator') or []
        cfg.test_evaluator = [*(given if isinstance(given, (list, tuple)) else [given]),
                              dict(type='DumpResults', out_file_path=predictions)]
    if pictures:
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []),
                            dict(type='PictureHook', out_dir=pictures)]


if __name__ == '__main__':
    leave(run_tool(main))
