"""What the files of a run say. A run that was stopped and resumed has a folder for each part."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from unimask.checkpoints import best_checkpoint, latest_checkpoint
from unimask.engine.hooks.record import EVALUATIONS, RUN
from unimask.errors import UserError

__all__ = ['Part', 'Record', 'read_record']

_SCALARS = 'vis_data/scalars.json'
_STAMP = re.compile(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)', re.MULTILINE)
_TAIL = 4096  # bytes of a log in which its last time is looked for
# Of what is logged with every evaluation, what is no score.
_NO_SCORES = ('step', 'time', 'data_time')


@dataclass(frozen=True)
class Part:
    """What one process did, from its start until it ended or was stopped.

    Attributes:
        folder: Its log and the like.
        told: What the training noted of itself when it began; empty for older runs.
        entries: Numbers that were logged, in order.
        evaluations: What evaluations noted.
        times: When it began and when it last wrote a line; None without a log.
    """

    folder: Path
    told: Mapping[str, Any]
    entries: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    times: tuple[datetime, datetime] | None

    @property
    def first_step(self) -> int:
        """Steps that were done before it."""
        if 'first_step' in self.told:
            return int(self.told['first_step'])
        return min((int(entry['step']) for entry in self.entries), default=1) - 1


@dataclass(frozen=True)
class Record:
    """What is known of a run.

    Attributes:
        folder: Of the run.
        parts: In the order of time.
        config: Its config; None where there is none.
    """

    folder: Path
    parts: list[Part]
    config: Path | None

    @property
    def told(self) -> Mapping[str, Any]:
        """What the last part noted of itself."""
        return self.parts[-1].told

    @property
    def resumed(self) -> list[int]:
        """Steps at which it was resumed."""
        return [part.first_step for part in self.parts[1:] if part.first_step > 0]

    @cached_property
    def losses(self) -> list[dict[str, Any]]:
        """Numbers of training steps, by ``step``."""
        return [entry for entry in self._joined('entries') if 'loss' in entry]

    @cached_property
    def scores(self) -> list[dict[str, Any]]:
        """Scores and ``step`` of every evaluation."""
        found = [{key: value for key, value in entry.items()
                  if key == 'step' or key not in _NO_SCORES}
                 for entry in self._joined('entries') if 'loss' not in entry]
        return [entry for entry in found if len(entry) > 1]

    @cached_property
    def evaluations(self) -> dict[int, dict[str, Any]]:
        """What evaluations noted, by step."""
        return {int(each['step']): each for each in self._joined('evaluations')}

    @property
    def best(self) -> Path | None:
        """The checkpoint that was kept as the best, else the last one."""
        found = best_checkpoint(self.folder) or latest_checkpoint(self.folder)
        return Path(found) if found else None

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The evaluation of the best checkpoint, else the last one."""
        found = self.evaluations
        step = step_of(self.best)
        return found.get(step) or (found[max(found)] if found else None)

    def checkpoint_of(self, step: int) -> Path | None:
        """A checkpoint of a step, if it was kept."""
        files = [self.best, *self.folder.glob(f'*iter_{step}.pth')]
        return next((file for file in files if file and step_of(file) == step), None)

    def _joined(self, name: str) -> list[dict[str, Any]]:
        """Entries of all parts; what a later part did again is taken from there."""
        joined: list[dict[str, Any]] = []
        for part in self.parts:
            joined = [entry for entry in joined if entry['step'] <= part.first_step]
            joined += getattr(part, name)
        return joined


def read_record(run: str | Path) -> Record:
    """Read what a run left behind.

    Args:
        run: Its folder.

    Raises:
        UserError: There is no training in it.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise UserError(f'there is no folder {folder}. Name the folder of a training (--out or '
                        '--work-dir of `unimask train`).')
    parts = [part for part in map(_read_part, sorted(folder.glob('*/'))) if part is not None]
    if not parts:
        raise UserError(f'{folder} holds no training: no folder in it has a {_SCALARS} with '
                        'losses. Name the folder of a training (--out or --work-dir of '
                        '`unimask train`).')
    return Record(folder, parts, _config(folder, parts[-1].told))


def step_of(checkpoint: Path | None) -> int | None:
    """The step in the name of a checkpoint."""
    found = re.search(r'iter_(\d+)', checkpoint.name) if checkpoint else None
    return int(found[1]) if found else None


def _read_part(folder: Path) -> Part | None:
    entries = _lines(folder / _SCALARS)
    told = next(iter(_parsed([_text(folder / RUN)])), {})
    if not told and not any('loss' in entry for entry in entries):
        return None
    return Part(folder, told, entries, _lines(folder / EVALUATIONS), _times(folder))


def _lines(file: Path) -> list[dict[str, Any]]:
    """Entries of a file with one on each line; one that was cut off is left out."""
    return [entry for entry in _parsed(_text(file).splitlines()) if 'step' in entry]


def _parsed(texts: Iterable[str]) -> list[dict[str, Any]]:
    found = []
    for text in texts:
        try:
            value = json.loads(text)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _text(file: Path) -> str:
    return file.read_text(errors='replace') if file.is_file() else ''


def _times(folder: Path) -> tuple[datetime, datetime] | None:
    """First and last time in the log."""
    for log in sorted(folder.glob('*.log')):
        text = _text(log)
        first, last = _STAMP.search(text), _STAMP.findall(text[-_TAIL:])
        if first and last:
            return _time(first[1]), _time(last[-1])
    return None


def _time(text: str) -> datetime:
    return datetime.strptime(text, '%Y/%m/%d %H:%M:%S')


def _config(folder: Path, told: Mapping[str, Any]) -> Path | None:
    named = folder / str(told.get('config', ''))
    if named.is_file():
        return named
    return max(folder.glob('*.py'), key=lambda path: path.stat().st_mtime, default=None)
