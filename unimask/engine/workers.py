"""Processes that load data: they outlive a signal, not the run, and their death has a name."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from unimask.errors import UserError

__all__ = ['DataWorkerError', 'explained_worker_deaths', 'shield_worker', 'worker_message']

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux
_OF_TORCH = re.compile(r'DataLoader (worker \(pid(\(s\))? [\d, ]+\)|timed out)')


class DataWorkerError(UserError):
    """A process that loads data died or hangs."""


def worker_message(error: Exception) -> str | None:
    """What to do about the death of a data worker; None for any other error.

    torch raises a plain RuntimeError; what goes wrong inside of a worker starts with "Caught".

    Args:
        error: As torch raised it.
    """
    said = str(error)
    if not isinstance(error, RuntimeError) or not _OF_TORCH.match(said):
        return None
    if 'timed out' in said:
        return (f'{said.splitlines()[0].rstrip(". ")}: a data worker hangs. Is the disk of the '
                'data reachable? The time is set by the timeout of the data loader.')
    return (f'{said.splitlines()[0].rstrip(". ")}: a process that loads data died. Most often the '
            'system ended it because the memory was used up: take fewer '
            '(train_dataloader.num_workers=1) or smaller batches.')


@contextmanager
def explained_worker_deaths() -> Iterator[None]:
    """Turn torch's error about a dead data worker into :class:`DataWorkerError`."""
    try:
        yield
    except RuntimeError as error:
        message = worker_message(error)
        if message is None:
            raise
        raise DataWorkerError(message) from error


def shield_worker(init: Callable[[int], None] | None) -> Callable[[int], None]:
    """Worker initialiser that also leaves Ctrl-C and other signals to the main process.

    A terminal or a job scheduler sends these to every process. The main process finishes its
    iteration and writes a checkpoint, for which the workers must live. They end when the main
    process ends them or dies.
    """
    return partial(_start_worker, init, os.getpid())


def _start_worker(init: Callable[[int], None] | None, parent: int, worker_id: int) -> None:
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey_parent, daemon=True).start()
    _die_with(parent)
    if init is not None:
        init(worker_id)


def _die_with(parent: int) -> None:
    """Let the system end this process with its parent, however that ends (on Linux)."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it died before
            os._exit(1)


def _obey_parent() -> None:
    """End this process on a SIGTERM of its parent, and on no other."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
