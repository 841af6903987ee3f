"""A non-finite loss ends the run with its reason instead of spoiling the weights in silence."""
from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from unimask.checkpoints import atomic_torch_save
from unimask.engine.hooks.checkpoint import CheckpointHook
from unimask.engine.rng import get_rng_state
from unimask.errors import UserError
from unimask.registry import HOOKS

__all__ = ['FiniteLossHook', 'NonFiniteLossError']


class NonFiniteLossError(UserError):
    """A loss or a gradient became infinite or not a number."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops at the first non-finite loss, before its gradient reaches the weights.

    The batch, the losses and the random state go to ``non_finite_iter_N_rank_R.pt`` in the work
    directory for a replay, and the weights, which are still sound, to a checkpoint.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self) -> None:
        self._batch: dict | None = None
        self._rng: dict | None = None
        self._parse: Callable | None = None

    def before_train(self, runner: Runner) -> None:
        """Look at the losses where the model sums them up, which is before the backward pass."""
        model = getattr(runner.model, 'module', runner.model)
        self._parse = model.parse_losses
        model.parse_losses = lambda losses: self._checked(runner, losses)

    def after_train(self, runner: Runner) -> None:
        """Give the model its method back."""
        getattr(runner.model, 'module', runner.model).__dict__.pop('parse_losses', None)

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Note the batch and the random state of the iteration."""
        self._batch = data_batch
        self._rng = get_rng_state(devices=False)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Stop when the gradient was not finite although the loss was."""
        norms = runner.message_hub.log_scalars.get('train/grad_norm')
        scaled = hasattr(runner.optim_wrapper, 'loss_scaler')  # then such a step is left out
        if norms is None or scaled or math.isfinite(norms.current()):
            return
        dump = self._dump(runner, {})
        raise NonFiniteLossError(
            f'the gradient of iteration {runner.iter + 1} is not finite (images: '
            f'{_images(self._batch)}), so the weights are spoiled. The batch is in {dump}. '
            'Resume from the last checkpoint (--resume auto), with a lower learning rate or '
            'without these images.')

    def _checked(self, runner: Runner, losses: dict) -> tuple:
        total, parts = self._parse(losses)
        if bool(torch.isfinite(total)):
            return total, parts
        dump = self._dump(runner, parts)
        saved = self._save(runner)
        bad = [name for name, value in parts.items() if not math.isfinite(float(value))]
        raise NonFiniteLossError(
            f'the loss of iteration {runner.iter + 1} is not finite ({", ".join(bad[:6])}; '
            f'images: {_images(self._batch)}). The batch and the losses are in {dump} for a '
            f'replay{saved}. Look at these images and their annotations, lower the learning '
            'rate, or train without fp16 (--amp off).')

    def _dump(self, runner: Runner, parts: dict) -> Path:
        path = Path(runner.work_dir) / (
            f'non_finite_iter_{runner.iter + 1}_rank_{get_rank()}.pt')
        atomic_torch_save(dict(batch=self._batch, rng=self._rng, iter=runner.iter, losses={
            name: float(value) for name, value in parts.items()}), path)
        return path

    def _save(self, runner: Runner) -> str:
        # With several processes the others are not here to take part in writing a checkpoint.
        hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if hook is None or get_world_size() > 1 or runner.iter == 0:
            return ''
        return f', the weights before it in {hook.save_now(runner, done=runner.iter)}'


def _images(batch: dict | None) -> str:
    samples = (batch or {}).get('data_samples') or []
    names = [sample.metainfo.get('img_path', sample.metainfo.get('img_id', '?'))
             for sample in samples if hasattr(sample, 'metainfo')]
    return ', '.join(str(name) for name in names) or 'unknown'
