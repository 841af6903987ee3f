"""Training on a user's own data without a config file."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unimask.checkpoints import atomic_write_text, best_checkpoint, latest_checkpoint
from unimask.errors import UserError
from unimask.own_data.headers import check_pictures
from unimask.own_data.parts import OwnData, Splitting
from unimask.own_data.recipe import Machine, choose_settings, make_config
from unimask.own_data.recognition import recognise
from unimask.report import report_after

__all__ = ['next_steps', 'train', 'write_config']

CONFIG = 'config.py'


def train(data: str | Path, out: str | Path, *, model: str = 'auto', task: str = 'auto',
          iterations: int | None = None, val_share: float = 0.2,
          weights: str | Path | None = 'imagenet', seed: int | None = None,
          amp: str | None = None, resume: bool = False) -> Path:
    """Train a model on a folder of pictures and labels.

    What the folder holds is recognised, see :func:`unimask.own_data.recognise`; the config that is
    used is written to ``out/config.py`` and can be changed and trained by ``tools/train.py``.

    Args:
        data: Folder of the data; nothing is written there.
        out: Folder of the run: config, log, checkpoints.
        model: One of :func:`unimask.own_data.recipe.models`, or ``auto``.
        task: ``semantic``, ``instance``, ``panoptic`` or ``auto``.
        iterations: Steps of the training; None for a number that suits the data.
        val_share: Share of the pictures that is held out, where the data do not say which.
        weights: ``imagenet``, a file of a trained model, or None for random weights.
        seed: Of all random numbers of the training; None for another one each time.
        amp: ``fp16``, ``bf16`` or ``off``; None for what suits the machine.
        resume: Go on with the run in ``out``.

    Returns:
        The best checkpoint, or the last one.

    Raises:
        UserError: The data cannot be used, or ``out`` holds another run.
    """
    from unimask.engine import Runner
    from unimask.preflight import load_config, prepare_config
    from unimask.utils import register_all_modules
    register_all_modules()
    data, out = Path(data), Path(out)
    config = out / CONFIG
    if not resume:
        write_config(data, out, model=model, task=task, iterations=iterations,
                     val_share=val_share, weights=weights)
    elif not config.is_file():
        raise UserError(f'{config} is not there, so there is no run to go on with. Leave --resume '
                        'out to begin one.')
    cfg = load_config(config)
    cfg.work_dir = str(out)
    cfg.resume = resume
    cfg.randomness = dict(seed=random.randrange(2**31) if seed is None else seed)
    Runner.from_cfg(prepare_config(cfg, mode='train', amp=amp)).train()
    report_after(out)
    return Path(best_checkpoint(out) or latest_checkpoint(out) or out)


def write_config(data: Path, out: Path, *, model: str = 'auto', task: str = 'auto',
                 iterations: int | None = None, val_share: float = 0.2,
                 weights: str | Path | None = 'imagenet') -> Path:
    """Recognise the data and write what a training needs, the config last; see :func:`train`.

    Returns:
        The config.
    """
    _check(data, out, iterations=iterations, val_share=val_share, weights=weights)
    layout = recognise(data, task=task)
    print(f'{data}: {layout.format}, for the task {layout.task}', flush=True)
    with _nothing_half_done(out):
        own = layout.prepare(out / 'data', Splitting(val_share))
        check_pictures([*own.train.files, *own.val.files])
        settings = choose_settings(own, Machine.here(), model=model, iterations=iterations)
        cfg = make_config(own, settings, weights=weights)
        atomic_write_text(_header(data, own) + cfg.pretty_text, out / CONFIG)
    for note in own.notes:
        print(f'  {note}', flush=True)
    print(f'  {own.train.images} pictures for training, {own.val.images} for validation\n'
          f'  {settings}\n  config: {out / CONFIG}', flush=True)
    return out / CONFIG


@contextmanager
def _nothing_half_done(out: Path) -> Iterator[None]:
    """Make the folders of a run; after an error remove those that were not there before."""
    made = [folder for folder in (out / 'data', out) if not folder.exists()]
    (out / 'data').mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _check(data: Path, out: Path, *, iterations: int | None, val_share: float,
           weights: str | Path | None) -> None:
    if not 0 < val_share < 1:
        raise UserError(f'val_share is {val_share:g}; it must be more than 0 and less than 1.')
    if iterations is not None and iterations < 1:
        raise UserError(f'iterations is {iterations}; at least one step is needed.')
    if weights not in (None, 'imagenet') and not Path(weights).is_file():
        raise UserError(f'weights: there is no file {weights}. Name a checkpoint, `imagenet`, or '
                        '`none`.')
    if out.exists() and not out.is_dir():
        raise UserError(f'{out} is a file. Name a folder for the run.')
    if (out / CONFIG).exists() or latest_checkpoint(out):
        raise UserError(f'{out} holds a run already. Go on with it (--resume), or name another '
                        'folder.')
    if out.absolute().is_relative_to(data.absolute()):
        raise UserError(f'{out} lies in the folder of the data. Name one elsewhere, so that what '
                        'is written is not taken for data.')


def _header(data: Path, own: OwnData) -> str:
    notes = ''.join(f'# {note}\n' for note in own.notes)
    return f'# Written by `unimask train` for {data.absolute()}: {own.format}.\n{notes}'


def next_steps(checkpoint: Path) -> str:
    """What to type next."""
    return (f'The best checkpoint is {checkpoint}. To use it:\n'
            f'  unimask predict PICTURES --checkpoint {checkpoint} --out predictions')
