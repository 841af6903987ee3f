"""Signals end a training after the iteration in progress, with a checkpoint."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType

import torch
from mmengine.dist import all_reduce, barrier, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner

from unimask.engine.workers import DataWorkerError, worker_message
from unimask.errors import Interrupted
from unimask.registry import HOOKS

__all__ = ['InterruptHook']

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
# Several processes agree this often: torchrun gives them 30 s after a SIGTERM.
_SECONDS = 1.0
_ITERATIONS = 10


@HOOKS.register_module()
class InterruptHook(Hook):
    """Saves and stops on SIGINT, SIGTERM, SIGHUP and SIGUSR1, and when a data worker dies.

    The second signal of a kind acts at once, as it would without this hook. A SIGHUP that was
    ignored when the training started (``nohup``) stays ignored.
    """

    priority = 'LOWEST'  # after the checkpoint hook, which may have saved this iteration already

    def __init__(self) -> None:
        self._signum = 0
        self._worker: str | None = None
        self._previous: dict[int, object] = {}
        self._wait = 0
        self._steps = 1
        self._agreed_at = 0.0

    def before_train(self, runner: Runner) -> None:
        """Take over the signals."""
        self._agreed_at = time.monotonic()
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in _STOPPING:
            ignored = signal.getsignal(signum) == signal.SIG_IGN
            if not (ignored and signum == signal.SIGHUP):
                self._previous[signum] = signal.signal(signum, self._note)

    def after_train(self, runner: Runner) -> None:
        """Give the signals back."""
        self._restore()

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Take over torch's watch over the data workers, which begins with the first of them."""
        watch = signal.getsignal(signal.SIGCHLD)
        if self._previous and signal.SIGCHLD not in self._previous and callable(watch):
            self._previous[signal.SIGCHLD] = watch
            signal.signal(signal.SIGCHLD, self._note_worker)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Stop if asked to."""
        if self._agreed():
            self._stop(runner, done=runner.iter + 1)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: list | None = None) -> None:
        """Stop an evaluation, with the weights of the last iteration."""
        if self._previous and self._agreed():
            runner.call_hook('val_broken_off')
            self._stop(runner, done=runner.iter)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal: whatever runs now must not notice, so nothing here may raise."""
        self._signum = signum
        signal.signal(signum, self._previous[signum] or signal.SIG_DFL)
        name = signal.Signals(signum).name
        with contextlib.suppress(OSError):  # the reader of a pipe may be gone
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2,
                     f'\n{name}: stopping after this iteration, with a checkpoint\n'.encode())

    def _note_worker(self, signum: int, frame: FrameType | None) -> None:
        """Note what torch says about a dead data worker instead of raising it anywhere."""
        try:
            self._previous[signum](signum, frame)
        except RuntimeError as error:
            self._worker = worker_message(error) or str(error)
            self._signum = self._signum or signum

    def _agreed(self) -> bool:
        """Whether any process was asked to stop; they all must leave at the same iteration.

        Several processes ask each other about once per second, slow ones at every iteration. When
        they ask next follows from the slowest, so that all of them come to the same answer.
        """
        if not is_distributed():
            return bool(self._signum)
        self._wait -= 1
        if self._wait > 0:
            return False
        now = time.monotonic()
        asked = torch.tensor([float(self._signum), (now - self._agreed_at) / self._steps])
        all_reduce(asked, 'max')
        signum, seconds = asked.tolist()
        self._signum = int(signum)
        self._steps = self._wait = max(1, min(_ITERATIONS, int(_SECONDS / max(seconds, 1e-6))))
        self._agreed_at = now
        return bool(self._signum)

    def _stop(self, runner: Runner, *, done: int) -> None:
        path = runner.save_now(done=done)
        barrier()
        self._restore()
        if self._signum != signal.SIGCHLD:
            raise Interrupted(signum=self._signum, checkpoint=path)
        reason = self._worker or 'a data worker of another process died.'
        raise DataWorkerError(f'{reason} Everything so far is in {path}; go on with --resume.')

    def _restore(self) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler or signal.SIG_DFL)
        self._previous = {}
