"""The progress line."""

from __future__ import annotations

import re
import resource
import sys
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.runner import LogProcessor as _LogProcessor
from mmengine.runner import Runner

from unimask.registry import LOG_PROCESSORS

__all__ = ['LogProcessor', 'peak_memory_mb']

_STATUS = Path('/proc/self/status')
_HIDDEN = re.compile(r'(^|\.)d\d+\.')  # terms of the predictions before the last one


def peak_memory_mb() -> int:
    """Most memory used so far in MB: allocated on the GPU, or of the process without one."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20)
    if _STATUS.exists():  # getrusage would start a child process with its parent's peak
        peak = re.search(r'VmHWM:\s*(\d+) kB', _STATUS.read_text())
        if peak:
            return round(int(peak[1]) / 2**10)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == 'darwin' else 2**10))


@LOG_PROCESSORS.register_module()
class LogProcessor(_LogProcessor):
    """Prints progress in one readable line; the options are MMEngine's.

    ``train 150/20000 | loss 31.42 (cls 1.93, mask 0.72, dice 2.01) | grad_norm 52.1 |
    lr 1.0e-04 1.0e-05 | 2.31 it/s | left 2:23:01 | 5120 MB``

    Of the losses it shows the total and the terms of the last prediction; those of the earlier
    predictions are in the JSON log beside them.
    """

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        """Collect the numbers of an iteration and make the line.

        Args:
            runner: The runner.
            batch_idx: Number of the batch in the loop, from 0.
            mode: ``train``, ``val`` or ``test``.

        Returns:
            The numbers for the JSON log, and the line.
        """
        tag = self._collect_scalars(
            self._parse_windows_size(runner, batch_idx, self.custom_cfg), runner, mode)
        tag['memory'] = peak_memory_mb()
        training = mode == 'train'
        if training:
            tag['iter'] = runner.iter + 1
        done, total = ((runner.iter + 1, runner.max_iters) if training else
                       (batch_idx + 1, self._get_dataloader_size(runner, mode)))
        parts = [f'{mode} {done:>{len(str(total))}}/{total}']
        if training:
            parts += [_losses(tag), *_others(tag), _rates(tag)]
        parts += [_speed(tag), _time_left(runner), f'{tag["memory"]} MB']
        return tag, ' | '.join(part for part in parts if part)


def _number(value: float) -> str:
    return f'{value:.4g}'


def _losses(tag: dict) -> str:
    terms = {name: value for name, value in tag.items()
             if 'loss' in name and name != 'loss' and not _HIDDEN.search(name)}
    shown = ', '.join(f'{name.replace("loss_", "")} {_number(value)}'
                      for name, value in terms.items())
    total = f'loss {_number(tag["loss"])}' if 'loss' in tag else ''
    return f'{total} ({shown})' if total and shown else total or shown


def _others(tag: dict) -> list[str]:
    """Everything else that the model reports, such as the norm of the gradient."""
    known = ('loss', 'lr', 'momentum', 'time', 'iter', 'memory', 'epoch')
    return [f'{name} {_number(value)}' for name, value in tag.items()
            if not any(word in name for word in known)]


def _rates(tag: dict) -> str:
    """Every different learning rate, the highest first."""
    rates = sorted({value for name, value in tag.items() if name.endswith('lr')}, reverse=True)
    return 'lr ' + ' '.join(f'{rate:.1e}' for rate in rates[:2]) if rates else ''


def _speed(tag: dict) -> str:
    seconds = tag.get('time', 0)
    if not seconds:
        return ''
    waiting = tag.get('data_time', 0) / seconds
    hint = f' ({waiting:.0%} waiting for data)' if waiting > 0.2 else ''
    return f'{1 / seconds:.2f} it/s{hint}'


def _time_left(runner: Runner) -> str:
    seconds = runner.message_hub.runtime_info.get('eta')
    return '' if seconds is None else f'left {timedelta(seconds=round(seconds))}'
