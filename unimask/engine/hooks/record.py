"""Notes what a report tells of a run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner

from unimask.checkpoints import atomic_write_text
from unimask.engine.description import describe_evaluation, describe_run
from unimask.registry import HOOKS

__all__ = ['EVALUATIONS', 'RUN', 'RecordHook', 'add_evaluation']

RUN = 'run.json'
EVALUATIONS = 'evaluations.json'


@HOOKS.register_module()
class RecordHook(Hook):
    """Writes two files beside the log, which :mod:`unimask.report` reads.

    ``run.json`` says what is trained on what, with which versions. ``evaluations.json`` has a line
    for every evaluation: its scores, those of every class, and the worst pictures. What goes wrong
    here is a warning, since the training does not depend on it.
    """

    priority = 'LOW'

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Write what is trained."""
        with _warning():
            described = describe_run(runner)
            atomic_write_text(json.dumps(described, indent=2) + '\n', Path(runner.log_dir) / RUN)

    @master_only
    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Add an evaluation, if it is one of a training."""
        if not isinstance(runner._train_loop, BaseLoop):  # a config, which is not built for this
            return
        with _warning():
            add_evaluation(Path(runner.log_dir), describe_evaluation(
                runner.val_loop.evaluator.metrics, runner.val_dataloader.dataset, metrics or {},
                step=runner.iter))


@contextmanager
def _warning() -> Iterator[None]:
    """Let an error pass, with a warning."""
    try:
        yield
    except Exception as error:
        print_log(f'What the report of this training needs could not be noted '
                  f'({type(error).__name__}: {error}). The training goes on without.', 'current',
                  level=logging.WARNING)


def add_evaluation(folder: Path, evaluation: dict) -> None:
    """Add a line to the evaluations of a folder."""
    with (folder / EVALUATIONS).open('a') as file:
        file.write(json.dumps(evaluation) + '\n')
