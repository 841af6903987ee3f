"""Averaged weights that survive an evaluation that is broken off."""

from __future__ import annotations

from mmengine import hooks
from mmengine.runner import Runner

from unimask.registry import HOOKS

__all__ = ['EMAHook']


@HOOKS.register_module()
class EMAHook(hooks.EMAHook):
    """MMEngine's hook, which lends the model its averages for an evaluation; options as there."""

    _lent = False

    def before_val_epoch(self, runner: Runner) -> None:
        """Lend the averages."""
        super().before_val_epoch(runner)
        self._lent = True

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Take them back."""
        super().after_val_epoch(runner, metrics)
        self._lent = False

    def val_broken_off(self, runner: Runner) -> None:
        """Take them back although the evaluation has no result."""
        if self._lent:
            self.after_val_epoch(runner)
