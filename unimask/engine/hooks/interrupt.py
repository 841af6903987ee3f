"""Ctrl-C and SIGTERM end a training after the iteration in progress, with a checkpoint."""
from __future__ import annotations

import signal
import threading
from types import FrameType

import torch
from mmengine.dist import all_reduce, barrier, is_distributed
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from unimask.engine.hooks.checkpoint import CheckpointHook
from unimask.engine.hooks.reproducible import ReproducibleHook
from unimask.errors import Interrupted
from unimask.registry import HOOKS

__all__ = ['InterruptHook']

_EVERY = 10  # iterations between two agreements of several processes


@HOOKS.register_module()
class InterruptHook(Hook):
    """Saves and stops on SIGINT and SIGTERM.

    The second signal of a kind acts at once, as it would without this hook.
    """

    priority = 'LOWEST'  # after the checkpoint hook, which may have saved this iteration already

    def __init__(self) -> None:
        self._signum = 0
        self._previous: dict[int, object] = {}

    def before_train(self, runner: Runner) -> None:
        """Take over the two signals."""
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._previous[signum] = signal.signal(signum, self._note)

    def after_train(self, runner: Runner) -> None:
        """Give the signals back."""
        self._restore()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Stop if asked to."""
        if self._agreed(runner.iter):
            self._stop(runner, done=runner.iter + 1)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: list | None = None) -> None:
        """Stop an evaluation, with the weights of the last iteration."""
        if not self._previous or not self._agreed(batch_idx):
            return
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):  # it lends the model its averages while evaluating
                hook.after_val_epoch(runner)
            elif isinstance(hook, ReproducibleHook):
                hook.after_val(runner)
        self._stop(runner, done=runner.iter)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._signum = signum
        signal.signal(signum, self._previous[signum] or signal.SIG_DFL)
        name = signal.Signals(signum).name
        print(f'\n{name}: stopping after this iteration, with a checkpoint', flush=True)

    def _agreed(self, step: int) -> bool:
        """Whether any process was asked to stop; they all must leave at the same iteration."""
        if not is_distributed():
            return bool(self._signum)
        if step % _EVERY:
            return False
        asked = torch.tensor(float(self._signum))
        all_reduce(asked, 'max')
        self._signum = int(asked)
        return bool(self._signum)

    def _stop(self, runner: Runner, *, done: int) -> None:
        hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        path = hook.save_now(runner, done=done) if hook is not None else None
        barrier()
        self._restore()
        raise Interrupted(signum=self._signum, checkpoint=path)

    def _restore(self) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler or signal.SIG_DFL)
        self._previous = {}
