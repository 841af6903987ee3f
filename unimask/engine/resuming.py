"""From which checkpoint a run goes on, and whether it can."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.runner import Runner

from unimask.checkpoints import check_exists, checkpoints_of, read_checkpoint
from unimask.engine.accumulation import restore_gradients
from unimask.errors import UserError

__all__ = ['check_resumable', 'choose_checkpoint', 'damage_named', 'resume_optimizer_of',
           'resume_schedules_of']


def choose_checkpoint(cfg: Config | ConfigDict) -> tuple[str, dict] | None:
    """The checkpoint that a config asks to resume from, read; None to start anew.

    Where the config names none, it is the newest one of the work directory that can be read.

    Args:
        cfg: Config.

    Raises:
        UserError: There is no such file, or none can be read.
    """
    if not cfg.get('resume'):
        return None
    trust = cfg.get('trust_checkpoint', False)
    named = cfg.get('load_from')
    if named and not Path(str(named)).expanduser().is_dir():
        path = check_exists(named, role='--resume')
        return path, read_checkpoint(path, trust=trust)
    folder = named or cfg.work_dir
    found = checkpoints_of(folder)
    if not found and named:
        check_exists(named, role='--resume')
    if not found:
        print_log(f'{folder} has no checkpoint yet, so the run starts from the beginning',
                  logger='current', level=logging.WARNING)
        return None
    return _newest_sound([str(path) for path in found], trust=trust)


def _newest_sound(paths: list[str], *, trust: bool) -> tuple[str, dict]:
    """The first file that can be read; every one before it gets a warning."""
    for path in paths[:-1]:
        try:
            return path, read_checkpoint(path, trust=trust)
        except UserError as error:
            print_log(f'{error}\nThe run goes on from the checkpoint before it.',
                      logger='current', level=logging.WARNING)
    return paths[-1], read_checkpoint(paths[-1], trust=trust)


def check_resumable(checkpoint: Mapping[str, Any], path: str, *,
                    max_iters: int | None = None) -> None:
    """Look for everything that going on needs.

    Args:
        checkpoint: As read.
        path: Its file, for messages.
        max_iters: Iterations of the run, if they are known.

    Raises:
        UserError: With what is missing or wrong.
    """
    meta = checkpoint.get('meta')
    if 'optimizer' not in checkpoint or not isinstance(meta, Mapping) or 'iter' not in meta:
        raise UserError(f'{path} holds weights only, so no run can be resumed from it. '
                        'To start a new run from them: --cfg-options load_from=PATH.')
    wrong = _wrong_parts(checkpoint)
    if wrong:
        raise UserError(f'no run can be resumed from {path}: {"; ".join(wrong)}. Take an earlier '
                        'checkpoint, or start a new run from its weights: --cfg-options '
                        'load_from=PATH.')
    if max_iters is not None and meta['iter'] > max_iters:
        raise UserError(f'{path} was written at iteration {meta["iter"]}, and this run has '
                        f'{max_iters}. Give it more, --cfg-options train_cfg.max_iters=N.')


def _wrong_parts(checkpoint: Mapping[str, Any]) -> list[str]:
    """What is wrong with a checkpoint, in words."""
    weights, meta, hub = (checkpoint.get(name) for name in ('state_dict', 'meta', 'message_hub'))
    wrong = []
    if not isinstance(weights, Mapping) or not all(
            isinstance(value, torch.Tensor) for value in weights.values()):
        wrong.append('its state_dict is no dictionary of tensors')
    elif any(value.is_complex() for value in weights.values()):
        wrong.append('its weights are complex numbers')
    for name in ('iter', 'epoch'):
        value = meta.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            wrong.append(f'its meta.{name} is {value!r}')
    if not isinstance(hub, Mapping) or not {'runtime_info', 'log_scalars'} <= hub.keys():
        wrong.append('its message_hub is missing or empty')
    if not isinstance(checkpoint['optimizer'], Mapping):
        wrong.append('its optimizer is no state of an optimiser')
    for name in ('param_schedulers', 'rng'):
        if not isinstance(checkpoint.get(name, []), (list, tuple)):
            wrong.append(f'its {name} is no list')
    return wrong


def resume_optimizer_of(runner: Runner, checkpoint: Mapping[str, Any], path: str) -> None:
    """Restore the state of a runner's optimiser, and the gradients that wait for an update."""
    with damage_named(path, part='optimizer'):
        runner.optim_wrapper.load_state_dict(checkpoint['optimizer'])
    kept = checkpoint.get('accumulated')
    if kept is None:
        return
    with damage_named(path, part='accumulated'):
        lost = restore_gradients(runner.optim_wrapper, kept)
    if lost is not None:
        runner.logger.warning(f'The gradients that {path} holds for the next update are lost: '
                              f'{lost}.')
        return
    # MMEngine, whose checkpoints hold no such gradients, warns that they are lost.
    runner.logger.addFilter(
        lambda record: 'is not divisible by `_accumulative_counts`' not in record.getMessage())


def resume_schedules_of(runner: Runner, checkpoint: Mapping[str, Any], path: str) -> None:
    """Restore the states of a runner's schedules."""
    states, schedulers = checkpoint.get('param_schedulers', []), runner.param_schedulers or []
    if len(states) != len(schedulers):
        raise UserError(
            f'{path} was written with {len(states)} schedules, and param_scheduler of the config '
            f'has {len(schedulers)}. Use the config that the run began with, or start a new run: '
            '--cfg-options load_from=PATH.')
    with damage_named(path, part='param_schedulers'):
        for scheduler, state in zip(schedulers, states, strict=True):
            scheduler.load_state_dict(state)


@contextmanager
def damage_named(filename: str, *, part: str) -> Iterator[None]:
    """Say which part of a checkpoint cannot be restored."""
    try:
        yield
    except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError,
            ValueError) as error:
        raise UserError(
            f'{filename} does not fit: its {part} cannot be restored '
            f'({type(error).__name__}: {error}). Use the config that the run began with or an '
            'earlier checkpoint; to start a new run from its weights: --cfg-options '
            'load_from=PATH.') from error
