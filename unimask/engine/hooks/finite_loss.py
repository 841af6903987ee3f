"""A non-finite loss ends the run with its reason instead of spoiling the weights in silence."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.optim import Optimizer

from unimask.checkpoints import atomic_torch_save, latest_checkpoint
from unimask.engine.rng import get_rng_state, set_rng_state
from unimask.engine.soundness import NonFiniteLossError, all_finite, spoiled_weights
from unimask.errors import image_name
from unimask.registry import HOOKS

__all__ = ['FiniteLossHook']


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops at the first non-finite loss or gradient, before it reaches the weights.

    The batch, the losses and the random state go to ``non_finite_iter_N_rank_R.pt`` in the work
    directory for a replay, and the weights, if they are still sound, to a checkpoint. It looks at
    what the model returns and at what the optimiser is about to use, through the hooks that torch
    has for both.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self) -> None:
        self._batch: dict | None = None
        self._rng: dict | None = None
        self._handles: list = []

    def before_train(self, runner: Runner) -> None:
        """Begin to look."""
        model = getattr(runner.model, 'module', runner.model)
        self._handles = [model.register_forward_hook(partial(self._look_at_losses, runner))]
        optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
        scaled = hasattr(runner.optim_wrapper, 'loss_scaler')  # then such a step is left out
        if isinstance(optimizer, Optimizer) and not scaled:
            self._handles.append(
                optimizer.register_step_pre_hook(partial(self._look_at_gradients, runner)))

    def after_train(self, runner: Runner) -> None:
        """Look no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Note the batch and the random state of the iteration."""
        self._batch = data_batch
        self._rng = get_rng_state(devices=False)

    def _look_at_losses(self, runner: Runner, model: nn.Module, inputs: tuple,
                        output: object) -> None:
        """Stop when a loss is not finite."""
        if not model.training or not isinstance(output, dict):
            return
        losses = [value.detach() for name, value in output.items()
                  if 'loss' in name and isinstance(value, torch.Tensor)]
        values = [value if value.ndim == 0 else value.mean() for value in losses]
        if not values or bool(torch.stack(values).isfinite().all()):
            return
        with torch.no_grad():
            _, parts = model.parse_losses(output)
        bad = [name for name, value in parts.items() if not math.isfinite(float(value))]
        raise NonFiniteLossError(
            f'the loss of iteration {runner.iter + 1} is not finite ({", ".join(bad[:6])}; '
            f'images: {_images(self._batch)}). The batch and the losses are in '
            f'{self._dump(runner, parts)} for a replay. {self._save(runner)} Look at these images '
            'and their annotations, lower the learning rate, or train without fp16 (--amp off).')

    def _look_at_gradients(self, runner: Runner, optimizer: Optimizer, args: tuple,
                           kwargs: dict) -> None:
        """Stop when a gradient is not finite although the loss was."""
        if self._finite_gradients(runner, optimizer):
            return
        dump = self._dump(runner, {})
        raise NonFiniteLossError(
            f'the gradient of iteration {runner.iter + 1} is not finite (images: '
            f'{_images(self._batch)}). The weights were not changed with it. The batch is in '
            f'{dump}. {self._save(runner, between=True)} Go on with a lower learning rate or '
            'without these images.')

    def _finite_gradients(self, runner: Runner, optimizer: Optimizer) -> bool:
        wrapper = runner.optim_wrapper
        if wrapper.clip_grad_kwargs and wrapper.grad_name == 'grad_norm':  # it is known already
            norm = runner.message_hub.log_scalars.get('train/grad_norm')
            return norm is None or math.isfinite(norm.current())
        return all_finite([parameter.grad for group in optimizer.param_groups
                           for parameter in group['params'] if parameter.grad is not None])

    def _dump(self, runner: Runner, parts: dict) -> Path:
        path = Path(runner.work_dir) / (
            f'non_finite_iter_{runner.iter + 1}_rank_{get_rank()}.pt')
        atomic_torch_save(dict(batch=self._batch, rng=self._rng, iter=runner.iter, losses={
            name: float(value) for name, value in parts.items()}), path)
        return path

    def _save(self, runner: Runner, *, between: bool = False) -> str:
        """Save the weights of the last iteration, if they are worth it; say where to go on.

        Args:
            runner: The runner.
            between: The gradients summed so far are spoiled.
        """
        spoiled = spoiled_weights(runner.model)
        earlier = latest_checkpoint(runner.work_dir)
        before = f'the last checkpoint is {earlier}' if earlier else 'there is no checkpoint yet'
        if spoiled:
            return (f'The weights before it were spoiled already, after too large a step '
                    f'({", ".join(spoiled[:3])}), and are not saved; {before}.')
        summed = between and runner.optim_wrapper._accumulative_counts > 1
        # With several processes the others are not here to take part in writing a checkpoint.
        if get_world_size() > 1 or runner.iter == 0 or summed:
            return f'The weights before it are not saved; {before}.'
        if Path(earlier or '').name != f'iter_{runner.iter}.pth':
            set_rng_state(self._rng)
            earlier = runner.save_now(done=runner.iter)
        return f'The weights before it are in {earlier}.'


def _images(batch: dict | None) -> str:
    samples = (batch or {}).get('data_samples') or []
    names = [image_name(sample) for sample in samples if hasattr(sample, 'metainfo')]
    return ', '.join(names) or 'unknown'
