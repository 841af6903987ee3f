"""Mask annealing: masked attention that fades away in the course of a training."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from unimask.errors import UserError
from unimask.registry import HOOKS

__all__ = ['MaskAnnealingHook', 'masked_share']


@HOOKS.register_module()
class MaskAnnealingHook(Hook):
    """Sets before every iteration how many queries are masked in each block (EoMT, section 3.3).

    The share of block i is 1 until ``starts[i]``, falls as ``(1 - progress)^power`` and is 0 from
    ``ends[i]`` on. It depends on the iteration alone: a resumed training goes on as it would have.

    Args:
        starts: For each of the joint blocks, the iteration at which its share begins to fall. None
            (for both) cuts the training into equal parts: one before, one for each block in turn,
            one after.
        ends: The iterations at which the shares are 0.
        power: Exponent.

    Raises:
        UserError: ``starts`` and ``ends`` do not belong together, or the model has another number
            of joint blocks.
    """

    def __init__(self, *, starts: Sequence[int] | None = None, ends: Sequence[int] | None = None,
                 power: float = 0.9) -> None:
        if (starts is None) != (ends is None) or (starts is not None and (
                len(starts) != len(ends)
                or any(start >= end for start, end in zip(starts, ends, strict=True)))):
            raise UserError(f'MaskAnnealingHook: starts={starts} and ends={ends} must be pairs of '
                            'a start and a later end, or both be left out.')
        self.starts, self.ends, self.power = starts, ends, power

    def before_train(self, runner: Runner) -> None:
        """Fit the schedule to the model and the length of the training."""
        blocks = _model(runner).backbone.num_joint_blocks
        if self.starts is None:
            marks = [round(runner.max_iters * part / (blocks + 2)) for part in range(1, blocks + 2)]
            self.starts, self.ends = marks[:-1], marks[1:]
        if len(self.starts) != blocks:
            raise UserError(f'MaskAnnealingHook: starts has {len(self.starts)} iterations, but the '
                            f'model has {blocks} joint blocks (model.backbone.num_joint_blocks).')

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Set the shares of this iteration."""
        _model(runner).head.masking = tuple(
            masked_share(runner.iter, start, end, power=self.power)
            for start, end in zip(self.starts, self.ends, strict=True))


def masked_share(iteration: int, start: int, end: int, *, power: float = 0.9) -> float:
    """Share of the queries that are masked: 1 at ``start`` and before, 0 at ``end`` and after."""
    progress = min(1.0, max(0.0, (iteration - start) / max(1, end - start)))
    return (1 - progress) ** power


def _model(runner: Runner) -> object:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
