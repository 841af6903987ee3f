"""Predict pictures and films: ``python tools/misc/predict.py PICTURES... [CONFIG] CHECKPOINT``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from unimask.cli import ConfigOptions, leave, run_tool
from unimask.errors import UserError

if TYPE_CHECKING:
    from unimask.apis import Inferencer

_CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Predict pictures and films.',
        usage='%(prog)s PICTURES... [CONFIG] CHECKPOINT [options]')
    parser.add_argument(
        'words', nargs='+', metavar='PICTURES... [CONFIG] CHECKPOINT',
        help='pictures, films, folders or patterns; config file (without it, the one that the '
             'checkpoint was trained with); checkpoint file, URL or folder of a run')
    parser.add_argument('--checkpoint', metavar='FILE',
                        help='the checkpoint, in place of the last word')
    parser.add_argument('--out-dir', '--out', default='work_dirs/predict',
                        help='folder for drawings, maps and predictions.json '
                             '(default: %(default)s)')
    parser.add_argument('--recursive', action='store_true', help='also look into sub-folders')
    parser.add_argument('--min-score', type=float, default=0.3,
                        help='leave out instances with a lower score; 0 keeps all '
                             '(default: %(default)s)')
    parser.add_argument('--prior', action='store_true',
                        help='of SeMask models: also draw the semantic prior, what the stages of '
                             'the encoder say and their sum, in the folder prior')
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
    words = args.words if args.checkpoint is None else [*args.words, args.checkpoint]
    pictures, config, checkpoint = _sorted_out(words)
    from unimask.apis import Inferencer
    from unimask.apis.video import VIDEO_SUFFIXES
    from unimask.utils import register_all_modules
    register_all_modules()
    inferencer = Inferencer(config, checkpoint, device=args.device, options=args.cfg_options,
                            trust_checkpoint=args.trust_checkpoint, prior=args.prior)
    films = [word for word in pictures if word.lower().endswith(VIDEO_SUFFIXES)]
    failures = _predict_films(inferencer, films, args)
    pictures = [word for word in pictures if word not in films]
    if pictures:
        report = inferencer.save(pictures, args.out_dir, batch_size=args.batch_size,
                                 recursive=args.recursive, min_score=args.min_score)
        print(f'{report.done} pictures: drawings, maps and predictions.json are in {args.out_dir}')
        report.raise_failures()
    if failures:
        raise UserError('\n'.join(failures))


def _predict_films(inferencer: Inferencer, films: list[str], args: argparse.Namespace
                   ) -> list[str]:
    """Predict films one by one; returns what went wrong with some of them."""
    from unimask.apis.video import predict_video
    failures = []
    for film in films:
        try:
            count = predict_video(inferencer, film, args.out_dir, min_score=args.min_score)
            print(f'{film}: {count} frames, the film and a JSON file are in {args.out_dir}')
        except UserError as error:
            failures.append(str(error))
    return failures


def _sorted_out(words: list[str]) -> tuple[list[str], str | None, str]:
    """Pictures, config and checkpoint."""
    *pictures, checkpoint = words
    config = None
    if pictures and pictures[-1].endswith(_CONFIG_SUFFIXES):
        config = pictures.pop()
    if not pictures or checkpoint.endswith(_CONFIG_SUFFIXES):
        raise UserError('pictures come first, then the config (if any), then the checkpoint: '
                        'predict.py PICTURES... [CONFIG] CHECKPOINT')
    return pictures, config, checkpoint


if __name__ == '__main__':
    leave(run_tool(main))
