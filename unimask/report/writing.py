"""Writing the page about a training."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from unimask.checkpoints import atomic_write_text
from unimask.engine import Runner
from unimask.engine.description import describe_evaluation
from unimask.engine.hooks.record import RUN, add_evaluation
from unimask.errors import UserError
from unimask.report.page import page, worst_pictures
from unimask.report.pictures import draw_worst, run_config
from unimask.report.records import Record, read_record, step_of
from unimask.visualization import html

__all__ = ['PAGE', 'evaluate', 'report_after', 'write_report']

PAGE = 'report.html'
_PICTURES = 12
_WIDTH = 1200  # pixels of image, truth and prediction together


def write_report(run: str | Path, out: str | Path | None = None, *, pictures: int = _PICTURES
                 ) -> Path:
    """Write the page about a training, one file with everything in it.

    Args:
        run: Folder of the training; it may have been stopped and resumed.
        out: The page; None for ``report.html`` in ``run``.
        pictures: So many of the worst pictures are shown; 0 for none, which needs neither data
            nor checkpoint.

    Returns:
        The page.

    Raises:
        UserError: There is no training in ``run``.
    """
    record = read_record(run)
    path = Path(out) if out is not None else record.folder / PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(page(record, _worst(record, pictures)), path)
    return path


def report_after(run: str | Path) -> None:
    """Write the page after a training, which an error here does not spoil.

    A training without the hook that notes what it does (``default_hooks.record=None``) gets none.
    """
    if not is_main_process() or not any(Path(run).glob(f'*/{RUN}')):
        return
    try:
        print_log(f'The report: {write_report(run)}', 'current')
    except Exception as error:
        print_log(f'The report could not be written ({type(error).__name__}: {error}). The '
                  f'training is complete. To try again: unimask report {run}', 'current',
                  level=logging.WARNING)


def evaluate(run: str | Path, *, hooks: Sequence[dict] = ()) -> dict[str, float]:
    """Evaluate the best checkpoint of a run on the validation data and note what was found.

    Args:
        run: Folder of the training.
        hooks: Configs of hooks for a test, such as a ``PictureHook``.

    Returns:
        The scores.

    Raises:
        UserError: The run has no checkpoint, config or validation data.
    """
    record = read_record(run)
    if record.best is None or record.config is None:
        raise UserError(f'{run} has no checkpoint or no config, so nothing can be evaluated.')
    cfg = run_config(record.config)
    cfg.load_from = str(record.best)
    # As a test: hooks of the training, such as those that keep the best checkpoint, stay away.
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), *hooks]
    with tempfile.TemporaryDirectory() as scratch:
        cfg.work_dir = scratch
        runner = Runner.from_cfg(cfg)
        scores = runner.test()
        found = describe_evaluation(
            runner.test_loop.evaluator.metrics, runner.test_dataloader.dataset, scores,
            step=step_of(record.best) or 0)
    add_evaluation(record.parts[-1].folder, found)
    return scores


def _worst(record: Record, count: int) -> str:
    """The worst pictures, or why there are none."""
    evaluation = record.evaluation
    if not count:
        return '<p class="note">Not wanted.</p>'
    if not evaluation or not evaluation['worst']:
        return '<p class="note">No evaluation scored single pictures.</p>'
    checkpoint = record.checkpoint_of(evaluation['step'])
    if checkpoint is None or record.config is None:
        return (f'<p class="note">The checkpoint of step {evaluation["step"]}, or the config, is '
                'not there any more.</p>')
    worst = evaluation['worst']['pictures'][:count]
    try:
        drawn = [html.figure(picture, f'{each["score"]:.1f}: {each["path"]}', width=_WIDTH)
                 for picture, each in zip(
                     draw_worst(record.config, checkpoint, worst), worst, strict=True)]
    except Exception as error:  # the rest of the page is worth having
        return f'<p class="warning">They could not be drawn: {escape(str(error))}</p>'
    return worst_pictures(evaluation, checkpoint.name, drawn)
