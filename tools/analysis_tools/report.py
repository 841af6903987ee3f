"""Write a page about a training: ``unimask report RUN``."""

from __future__ import annotations

import argparse
from pathlib import Path

from unimask.cli import leave, run_tool
from unimask.errors import UserError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write a page about a training: what was trained, curves, scores of every '
                    'class, the worst pictures. A training writes it by itself when it ends; this '
                    'is for runs that were stopped, or to write it again.')
    parser.add_argument('run', metavar='RUN', help='folder of the training')
    parser.add_argument('--out', type=Path, metavar='FILE',
                        help='the page (default: RUN/report.html)')
    parser.add_argument('--pictures', type=int, default=12, metavar='N',
                        help='show the N worst pictures (default: %(default)s); with 0 neither '
                             'data nor checkpoint are needed')
    parser.add_argument('--evaluate', action='store_true',
                        help='first evaluate the best checkpoint on the validation data once more, '
                             'for runs whose evaluations noted no scores of classes')
    return parser.parse_args()


def main() -> None:
    """Write the page."""
    args = parse_args()
    if args.pictures < 0:
        raise UserError(f'--pictures is {args.pictures}; it must be 0 or more.')
    from unimask.report import write_report
    from unimask.report.writing import evaluate
    from unimask.utils import register_all_modules
    register_all_modules()
    if args.evaluate:
        evaluate(args.run)
    print(f'The report: {write_report(args.run, args.out, pictures=args.pictures)}')


if __name__ == '__main__':
    leave(run_tool(main))
