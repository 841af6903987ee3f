"""Periodic checkpoints, in an order in which a kill at any moment leaves a usable one."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from mmengine import hooks
from mmengine.dist import is_main_process
from mmengine.fileio import get_file_backend
from mmengine.runner import Runner

from unimask.checkpoints import atomic_write_text, latest_checkpoint
from unimask.engine.soundness import NonFiniteLossError, spoiled_weights
from unimask.registry import HOOKS

__all__ = ['CheckpointHook']


@HOOKS.register_module()
class CheckpointHook(hooks.CheckpointHook):
    """MMEngine's checkpoint hook; the options are its own.

    The new checkpoint is complete on the disk before ``last_checkpoint`` names it, and old ones
    are removed only after that. Weights that are not finite are not written.
    """

    def before_train(self, runner: Runner) -> None:
        """Find the folder, and what a resumed run had kept."""
        known = runner.message_hub.runtime_info
        folder = Path(runner.work_dir)
        self.out_dir = str(Path(self.out_dir) / folder.name if self.out_dir else folder)
        self.file_backend = get_file_backend(self.out_dir)
        if self.save_best is not None and len(self.key_indicators) == 1:
            self.best_ckpt_path = known.get('best_ckpt')
        elif self.save_best is not None:
            self.best_ckpt_path_dict = {
                name: known.get(f'best_ckpt_{name}') for name in self.key_indicators}
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(known.get('keep_ckpt_ids', [])[-self.max_keep_ckpts:])

    def save_now(self, runner: Runner, *, done: int) -> str:
        """Write a checkpoint outside the schedule.

        Args:
            runner: The runner.
            done: Number of finished iterations.

        Returns:
            Its path.
        """
        self._write(runner, name=f'iter_{done}.pth', meta=dict(epoch=runner.epoch, iter=done))
        return self.last_ckpt

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = self._outdated(runner, step)
        self._write(runner, name=self.filename_tmpl.format(step), meta=meta)
        if is_main_process():
            for old in outdated:
                (Path(self.out_dir) / self.filename_tmpl.format(old)).unlink(missing_ok=True)

    def _outdated(self, runner: Runner, step: int) -> list[int]:
        """Note a step as kept; return those that are kept no longer."""
        if self.max_keep_ckpts <= 0 or step in self.keep_ckpt_ids:
            return []
        kept = [*self.keep_ckpt_ids, step]
        outdated, kept = kept[:-self.max_keep_ckpts], kept[-self.max_keep_ckpts:]
        self.keep_ckpt_ids.clear()
        self.keep_ckpt_ids.extend(kept)
        runner.message_hub.update_info('keep_ckpt_ids', kept)
        return outdated

    def _write(self, runner: Runner, *, name: str, meta: dict) -> None:
        _check_sound(runner)
        self.last_ckpt = str(Path(self.out_dir) / name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir, name, save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch)
        if is_main_process():
            atomic_write_text(self.last_ckpt, Path(runner.work_dir) / 'last_checkpoint')


def _check_sound(runner: Runner) -> None:
    """Raise when the weights are spoiled; the checkpoint before stays the last one."""
    spoiled = spoiled_weights(runner.model)
    if not spoiled:
        return
    earlier = latest_checkpoint(runner.work_dir)
    raise NonFiniteLossError(
        f'the weights around iteration {runner.iter + 1} are infinite or not numbers '
        f'({", ".join(spoiled[:3])}; {len(spoiled)} in all), after too large a step, and are not '
        f'saved. {f"Go on from {earlier}" if earlier else "Start again"} with a lower learning '
        'rate or with optim_wrapper.clip_grad=dict(max_norm=0.01).')
