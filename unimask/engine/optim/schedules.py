"""Learning rate schedules."""

from __future__ import annotations

from mmengine.optim import OptimWrapper
from mmengine.optim import PolyLR as _PolyLR
from torch.optim import Optimizer

from unimask.errors import UserError
from unimask.registry import PARAM_SCHEDULERS

__all__ = ['PolyLR']

_NEVER = 10**9  # MMEngine's mark of a schedule without an end


@PARAM_SCHEDULERS.register_module()
class PolyLR(_PolyLR):
    """Polynomial decay: iteration i learns at ``eta_min + (lr - eta_min) (1 - x)^power``.

    Here x = (i - begin) / (end - begin). MMEngine's schedule of this name is there one iteration
    before its ``end``; the published ones reach ``eta_min`` at ``end`` itself, and so does this
    one.

    Args:
        optimizer: Optimizer or its wrapper.
        power: Exponent.
        eta_min: Rate at the end.
        begin: First iteration (or epoch).
        end: Iteration (or epoch) at which ``eta_min`` is reached. The runner fills in the length
            of the training.
        last_step: Last step that was taken, for resuming without a state.
        by_epoch: Count epochs instead of iterations.
        verbose: Print every rate.

    Raises:
        UserError: Without ``end``, outside of a runner.
    """

    def __init__(self, optimizer: Optimizer | OptimWrapper, *, power: float = 1.0,
                 eta_min: float = 0.0, begin: int = 0, end: int | None = None,
                 last_step: int = -1, by_epoch: bool = True, verbose: bool = False) -> None:
        if end is None or end >= _NEVER:
            raise UserError('PolyLR does not know where it ends: give `end`, the iteration at '
                            'which eta_min is reached. In a training the runner fills it in.')
        super().__init__(optimizer, power=power, eta_min=eta_min, begin=begin, end=end + 1,
                         last_step=last_step, by_epoch=by_epoch, verbose=verbose)
