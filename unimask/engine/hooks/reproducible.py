"""Random numbers of a resumed run, and of a run that is evaluated on its way."""

from __future__ import annotations

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from unimask.engine.rng import get_rng_state, set_rng_state
from unimask.errors import UserError
from unimask.registry import HOOKS

__all__ = ['ReproducibleHook']


@HOOKS.register_module()
class ReproducibleHook(Hook):
    """Makes a killed and resumed run draw the random numbers of an unbroken one.

    The states that a checkpoint holds are restored right before the first iteration, because
    starting the data loader draws numbers too. For the same reason an evaluation between two
    iterations leaves the generators as it found them.
    """

    priority = 'HIGHEST'

    def __init__(self) -> None:
        self._resumed: dict | None = None
        self._before_val: dict | None = None

    def after_resume(self, runner: Runner, checkpoint: dict) -> None:
        """Note the state of this process."""
        states = checkpoint.get('rng', [])
        if get_rank() < len(states):
            self._resumed = states[get_rank()]
            _check(self._resumed)
        else:
            runner.logger.warning('The checkpoint has no random state for this process; the run '
                                  'goes on, with other random numbers than an unbroken one.')

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Restore the state once."""
        if self._resumed is not None:
            set_rng_state(self._resumed)
            self._resumed = None

    def before_val(self, runner: Runner) -> None:
        """Note the state before an evaluation."""
        self._before_val = get_rng_state()

    def after_val(self, runner: Runner) -> None:
        """Restore it."""
        if self._before_val is not None:
            set_rng_state(self._before_val)
            self._before_val = None

    def val_broken_off(self, runner: Runner) -> None:
        """Restore it although the evaluation did not end."""
        self.after_val(runner)


def _check(state: dict) -> None:
    """Raise when a state cannot be restored."""
    now = get_rng_state()
    try:
        set_rng_state(state)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError) as error:
        raise UserError(f'the state of the random numbers in the checkpoint is damaged ({error}). '
                        'Take an earlier checkpoint.') from error
    finally:
        set_rng_state(now)
