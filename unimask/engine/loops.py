"""The training loop."""

from __future__ import annotations

from mmengine.dist import is_distributed
from mmengine.runner import IterBasedTrainLoop as _IterBasedTrainLoop
from mmengine.runner import Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch import nn
from torch.utils.data import DataLoader

from unimask.engine.data_order import SkippingBatches
from unimask.engine.workers import DataWorkerError, worker_message
from unimask.registry import LOOPS

__all__ = ['IterBasedTrainLoop']


class _Iterator(_InfiniteDataloaderIterator):
    """MMEngine's endless iterator, which skips batches of any sampler without loading them."""

    def skip_iter(self, num_iters: int) -> None:
        """Start after so many iterations."""
        batches = self._dataloader.batch_sampler
        if isinstance(batches, SkippingBatches):
            batches.start_at(num_iters)
        else:
            super().skip_iter(num_iters)


@LOOPS.register_module()
class IterBasedTrainLoop(_IterBasedTrainLoop):
    """MMEngine's loop, with resuming that is as cheap for grouped batches as for others.

    Args:
        runner: The runner.
        dataloader: Data loader or its config.
        max_iters: Iterations to train.
        val_begin: No evaluation before this iteration.
        val_interval: Iterations between evaluations.
        dynamic_intervals: ``(iteration, interval)`` pairs that change the interval.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, max_iters: int,
                 val_begin: int = 1, val_interval: int = 1000,
                 dynamic_intervals: list[tuple[int, int]] | None = None) -> None:
        super().__init__(runner, dataloader, max_iters, val_begin, val_interval,
                         dynamic_intervals)
        self.dataloader_iterator = _Iterator(self.dataloader)

    def run(self) -> nn.Module:
        """Train; when a data worker dies, the iterations so far go to a checkpoint.

        Returns:
            The model.

        Raises:
            DataWorkerError: With the checkpoint to go on from.
        """
        try:
            return super().run()
        except RuntimeError as error:
            reason = worker_message(error)
            if reason is None:
                raise
            raise DataWorkerError(f'{reason} {self._save()}') from error

    def _save(self) -> str:
        """Write a checkpoint and say how to go on; several processes are not all here for it."""
        self.runner.call_hook('val_broken_off')
        path = self.runner.save_now(done=self.iter) if not is_distributed() else None
        return (f'Everything so far is in {path}; go on with --resume {path}.' if path else
                'Go on from the last checkpoint with --resume auto.')
