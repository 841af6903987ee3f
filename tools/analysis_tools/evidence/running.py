"""Doing the runs, each in a process of its own, and keeping what they say."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch

from evidence.plan import FRACTIONS, ROOT, Run, Study, described
from unimask.errors import UserError

__all__ = ['command', 'read_results', 'read_scores', 'resumable', 'run_all', 'train']

_SCORES = ('semantic/', 'instance/', 'panoptic/')
# Scores of all classes together, not of single ones.
_TOTALS = ('mIoU', 'mAcc', 'aAcc', 'AP', 'AP50', 'AP75', 'PQ', 'SQ', 'RQ', 'PQ_th', 'PQ_st')
Train = Callable[[Run, Mapping[str, object], Path], None]


def run_all(runs: Iterable[Run], *, results: Path, work: Path, train: Train,
            options_of: Callable[[Run], Mapping[str, object]], limit: int | None = None) -> int:
    """Do what has no result yet.

    A result is written when its run is over; the folder of the run, with its checkpoint, is
    removed then. A run that was interrupted goes on from its checkpoint the next time.

    Args:
        runs: In the order in which they are done.
        results: Folder of the results, one small JSON file a run.
        work: Folder for what runs write.
        train: Does one run: (run, options, folder).
        options_of: The options of a run.
        limit: Do so many at most.

    Returns:
        How many were done.
    """
    results.mkdir(parents=True, exist_ok=True)
    done = 0
    for run in runs:
        file = results / f'{run.name}.json'
        if file.exists():
            continue
        if limit is not None and done >= limit:
            break
        folder, options = work / run.name, options_of(run)
        start = time.time()
        train(run, options, folder)
        record = _record(run, folder, int(str(options['max_iters'])), time.time() - start)
        _write(record, file)
        shutil.rmtree(folder)
        done += 1
        print(f'{run.name}: {_summary(run, record)}, {record["seconds"]} s', flush=True)
    return done


def train(run: Run, options: Mapping[str, object], folder: Path, *, threads: int = 1) -> None:
    """One training in a process of its own, at low priority.

    Raises:
        UserError: It failed; the message names its log.
        KeyboardInterrupt: It was stopped, with this process or alone.
    """
    if folder.exists() and not resumable(folder, int(str(options['max_iters']))):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / 'output.txt'
    with log.open('a') as stream, subprocess.Popen(
            command(run, options, folder), stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT,
            env=_environment(threads), preexec_fn=_give_way, start_new_session=True) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.terminate()  # it writes a checkpoint and ends
            process.wait()
            raise
    if status == 130 or status < 0 or (status == 0 and not _finished(folder, options)):
        raise KeyboardInterrupt
    if status:
        raise UserError(f'{run.name} failed (status {status}); {log} says why: '
                        f'{_last_words(log)}')


def resumable(folder: Path, iterations: int) -> bool:
    """Whether a run has a checkpoint to go on from and all scores that were due before it.

    One that was stopped while it was evaluated would go on without that evaluation.
    """
    last = folder / 'last_checkpoint'
    match = re.search(r'iter_(\d+)\.pth', last.read_text()) if last.exists() else None
    due = (iterations * percent // 100 for percent in FRACTIONS)
    scores = read_scores(folder)
    return match is not None and all(step in scores for step in due if step <= int(match[1]))


def command(run: Run, options: Mapping[str, object], folder: Path) -> list[str]:
    """The command line of a run."""
    words = [sys.executable, str(ROOT / 'tools/train.py'),
             str(ROOT / 'configs' / run.what.config), '--seed', str(run.seed),
             '--work-dir', str(folder)]
    if (folder / 'last_checkpoint').exists():
        words.append('--resume')
    return [*words, '--cfg-options', *(f'{key}={value}' for key, value in options.items())]


def read_scores(folder: Path, *prefixes: str) -> dict[int, dict[str, float]]:
    """Iteration -> name -> value of every evaluation; a resumed run has several logs.

    ``prefixes`` are those of what is kept besides scores.
    """
    found: dict[int, dict[str, float]] = {}
    for file in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            values = {name: value for name, value in entry.items()
                      if name.startswith((*_SCORES, *prefixes))}
            if values:
                found.setdefault(int(entry['step']), {}).update(values)
    return found


def _record(run: Run, folder: Path, iterations: int, seconds: float) -> dict:
    """What is kept of a run."""
    study, score = run.study, run.what.score
    scores = read_scores(folder, study.prefix)
    parts = {}
    for percent in FRACTIONS:
        values = scores.get(iterations * percent // 100, {})
        if score not in values:
            raise UserError(f'{run.name} has no {score} at iteration '
                            f'{iterations * percent // 100}; its log is in {folder}. Remove that '
                            'folder and start again.')
        parts[str(percent)] = _rounded({
            name: value for name, value in values.items()
            if name.startswith(study.prefix) or name.partition('/')[2] in _TOTALS})
    if study.measure:
        parts[str(FRACTIONS[-1])] |= _rounded(study.measure(folder), digits=6)
    return dict(
        task=run.task, variant=run.variant, seed=run.seed, iterations=iterations,
        override=described(run.change), seconds=round(seconds),
        machine=f'{platform.machine()}, torch {torch.__version__}', percent=parts)


def _rounded(values: Mapping[str, float], digits: int = 4) -> dict[str, float]:
    return {name: round(float(value), digits) for name, value in values.items()}


def _write(record: dict, file: Path) -> None:
    """Whole or not at all."""
    part = file.with_suffix('.part')
    part.write_text(json.dumps(record, indent=1) + '\n')
    part.replace(file)


def _finished(folder: Path, options: Mapping[str, object]) -> bool:
    return int(str(options['max_iters'])) in read_scores(folder)


def _environment(threads: int) -> dict[str, str]:
    counts = dict.fromkeys(('OMP_NUM_THREADS', 'MKL_NUM_THREADS'), str(threads))
    paths = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
    return {**os.environ, **counts, 'PYTHONPATH': os.pathsep.join(paths)}


def _give_way() -> None:
    os.nice(19)


def _last_words(log: Path) -> str:
    """The message that a run ended with, or its last line."""
    lines = [line for line in log.read_text().splitlines() if line.strip()]
    told = [number for number, line in enumerate(lines) if line.startswith('error: ')]
    return ' '.join(lines[told[-1] if told else -1:]) or 'it is empty'


def _summary(run: Run, record: dict) -> str:
    score = run.what.score
    return f'{score} ' + ', '.join(
        f'{percent} %: {values[score]:.1f}' for percent, values in record['percent'].items())


def read_results(study: Study, folder: Path) -> Iterator[dict]:
    """All results of a folder.

    Raises:
        UserError: The folder is missing, or a file is no result of the study.
    """
    if not folder.is_dir():
        raise UserError(f'--results {folder} is no folder. Name the one that the runs wrote.')
    for file in sorted(folder.glob('*.json')):
        try:
            record = json.loads(file.read_text())
        except ValueError as error:
            raise UserError(f'{file} is no JSON file ({error}). Remove it, the run is done '
                            'again then.') from error
        if record.get('task') not in study.tasks or not {
                'variant', 'seed', 'percent'} <= record.keys():
            raise UserError(f'{file} is not the result of a run. --results names a folder of '
                            f'results of {study.tool} alone.')
        yield record
