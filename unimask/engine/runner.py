"""The runner: MMEngine's, with exact resuming, atomic plain checkpoints and safe loading."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import mmengine
import mmengine.runner
import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.dist import (
    all_gather_object,
    get_rank,
    is_distributed,
    is_main_process,
    master_only,
)
from mmengine.hooks import Hook
from mmengine.model import (
    BaseTTAModel,
    MMDistributedDataParallel,
    is_model_wrapper,
    revert_sync_batchnorm,
)
from mmengine.runner import BaseLoop
from mmengine.runner import LogProcessor as _LogProcessor
from torch import nn
from torch.utils.data import DataLoader

from unimask.checkpoints import (
    atomic_torch_save,
    atomic_write_text,
    read_checkpoint,
    remove_parts,
    to_plain,
    trusting,
    weights_of,
)
from unimask.engine.accumulation import accumulated_gradients
from unimask.engine.data_order import NumberedSampler, SeededDataset, SkippingBatches
from unimask.engine.description import device_name, package_versions
from unimask.engine.hooks import CheckpointHook
from unimask.engine.resuming import (
    check_resumable,
    choose_checkpoint,
    damage_named,
    resume_optimizer_of,
    resume_schedules_of,
)
from unimask.engine.rng import get_rng_state
from unimask.engine.run_lock import run_lock
from unimask.engine.workers import explained_worker_deaths, shield_worker
from unimask.errors import UserError
from unimask.ops.cpu.memory import keep_freed_memory
from unimask.preflight.state import load_state
from unimask.registry import DATA_SAMPLERS, DATASETS, RUNNERS

__all__ = ['Runner']


@RUNNERS.register_module()
class Runner(mmengine.runner.Runner):
    """Runs training and testing.

    What it adds to MMEngine's runner:

    - Data order and augmentation depend on the seed and the iteration alone
      (:mod:`unimask.engine.data_order`).
    - Checkpoints hold plain values only, are written atomically, and carry the states of the
      random number generators, so that a resumed run ends with the weights of an unbroken one.
    - Loading runs no code from the file (config key ``trust_checkpoint=True`` allows it), and a
      checkpoint that does not fit the model is an error that says what differs.
    - The hooks against non-finite losses and for interruptions are registered by default.
    """

    @classmethod
    def from_cfg(cls, cfg: Config | ConfigDict) -> Runner:
        """Build a runner from a config; a run that is resumed gets the seed it started with."""
        cfg = copy.deepcopy(cfg)
        chosen = choose_checkpoint(cfg)
        cfg.resume = chosen is not None
        if chosen is not None:
            cfg.load_from, checkpoint = chosen
            check_resumable(checkpoint, cfg.load_from,
                            max_iters=(cfg.get('train_cfg') or {}).get('max_iters'))
            seed = checkpoint['meta'].get('seed')
            cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
        return super().from_cfg(cfg)

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, seed: int | None = None,
                         diff_rank_seed: bool = False) -> DataLoader:
        """Build a dataloader whose data depend on the seed and the position alone."""
        if isinstance(dataloader, DataLoader):
            return dataloader
        cfg = copy.copy(dataloader)
        dataset = cfg['dataset']
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
            if hasattr(dataset, 'full_init'):
                dataset.full_init()
        if len(dataset) == 0:
            raise UserError(f'the dataset {type(dataset).__name__} has no images left after '
                            'filtering; look at its ann_file, data_prefix and filter_cfg.')
        cfg['dataset'] = SeededDataset(dataset=dataset, seed=seed or 0, rank=get_rank())
        if isinstance(cfg['sampler'], dict):
            cfg['sampler'] = NumberedSampler(DATA_SAMPLERS.build(cfg['sampler'], default_args=dict(
                dataset=cfg['dataset'], seed=None if diff_rank_seed else seed)))
        if isinstance(cfg.get('batch_sampler'), dict):
            cfg['batch_sampler'] = SkippingBatches(DATA_SAMPLERS.build(
                cfg['batch_sampler'],
                default_args=dict(sampler=cfg['sampler'], batch_size=cfg.pop('batch_size'))))
        loader = mmengine.runner.Runner.build_dataloader(cfg, seed, diff_rank_seed)
        if loader.num_workers:
            loader.worker_init_fn = shield_worker(loader.worker_init_fn)
        return loader

    def setup_env(self, env_cfg: dict) -> None:
        """Set up the environment; several processes without a GPU talk through gloo.

        Raises:
            UserError: If the processes were not started by torchrun.
        """
        if self.launcher == 'pytorch' and 'RANK' not in os.environ:
            raise UserError('--launcher pytorch is for processes that torchrun starts: use '
                            'tools/dist_train.sh CONFIG GPUS or tools/dist_test.sh, '
                            'or leave the option out for a single process')
        if self.launcher == 'pytorch' and not is_distributed() and get_device() == 'cpu':
            torch.distributed.init_process_group('gloo')
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes; MMEngine does it for GPUs only."""
        wrapped = is_model_wrapper(model) or model_wrapper_cfg is not None
        if wrapped or not self.distributed or get_device() != 'cpu':
            return super().wrap_model(model_wrapper_cfg, model)
        return MMDistributedDataParallel(
            module=revert_sync_batchnorm(model), broadcast_buffers=False,
            find_unused_parameters=self.cfg.get('find_unused_parameters', False))

    def register_default_hooks(self, hooks: dict[str, Hook | dict] | None = None) -> None:
        """Register MMEngine's default hooks and those of this package.

        A hook is switched off by giving None for its name (``reproducible``, ``finite_loss``,
        ``interrupt``, ``record``).
        """
        ours = dict(reproducible=dict(type='ReproducibleHook'),
                    finite_loss=dict(type='FiniteLossHook'),
                    interrupt=dict(type='InterruptHook'),
                    record=dict(type='RecordHook'))
        given = dict(hooks or {})
        off = {name for name in ours if name in given and given[name] is None}
        merged = {name: hook for name, hook in {**ours, **given}.items() if name not in off}
        super().register_default_hooks(merged)

    def _init_model_weights(self) -> None:
        """Initialise the model; files that its parts name are trusted where checkpoints are."""
        with trusting(self.cfg.get('trust_checkpoint', False)):
            super()._init_model_weights()

    def load_checkpoint(self, filename: str, map_location: str | Callable = 'cpu',
                        strict: bool = False, revise_keys: list | None = None) -> dict:
        """Load model weights; see :func:`unimask.preflight.state.load_state`.

        Args:
            filename: Path or URL.
            map_location: As in :func:`torch.load`.
            strict: Every parameter must agree. The start of a training from other weights
                (``load_from`` without ``resume``) tolerates another number of classes.
            revise_keys: Not supported; names are mapped by the converter.
        """
        checkpoint = read_checkpoint(
            filename, trust=self.cfg.get('trust_checkpoint', False), map_location=map_location)
        checkpoint = dict(checkpoint, state_dict=weights_of(checkpoint, path=filename))
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        starts = isinstance(self._train_loop, BaseLoop) and not self._resume  # built by train()
        load_state(checkpoint['state_dict'], self._bare_model, path=str(filename),
                   fine_tune=starts and not strict)
        self._has_loaded = True
        self.logger.info(f'Loaded {filename}')
        return checkpoint

    def resume(self, filename: str, resume_optimizer: bool = True,
               resume_param_scheduler: bool = True,
               map_location: str | Callable = 'default') -> None:
        """Continue a run from one of its checkpoints."""
        # On the CPU, since the optimiser moves its state to the parameters by itself.
        where = 'cpu' if map_location == 'default' else map_location
        checkpoint = self.load_checkpoint(filename, map_location=where, strict=True)
        check_resumable(checkpoint, filename)
        self.train_loop._epoch = checkpoint['meta']['epoch']
        self.train_loop._iter = checkpoint['meta']['iter']
        with damage_named(filename, part='message_hub'):
            self.message_hub.load_state_dict(checkpoint['message_hub'])
        if resume_optimizer:
            resume_optimizer_of(self, checkpoint, filename)
        if resume_param_scheduler:
            resume_schedules_of(self, checkpoint, filename)
        self.call_hook('after_resume', checkpoint=checkpoint)
        self.logger.info(f'Resumed {filename} at iteration {self.iter} of {self.max_iters}')

    def train(self) -> nn.Module:
        """Train; on a CPU the process keeps the memory that it frees between the steps.

        Returns:
            The model.

        Raises:
            UserError: Another process trains in this work directory.
        """
        if get_device() == 'cpu':
            keep_freed_memory()
        with self._alone():
            self._write_config()
            return super().train()

    def val(self) -> dict:
        """Evaluate on the validation data; see MMEngine."""
        self._write_config()
        with explained_worker_deaths():
            return super().val()

    def test(self) -> dict:
        """Evaluate on the test data; see MMEngine."""
        self._write_config()
        with explained_worker_deaths():
            return super().test()

    def save_now(self, *, done: int) -> str | None:
        """Write a checkpoint outside the schedule; every process must call it.

        Args:
            done: Number of finished iterations.

        Returns:
            Its path; None without a checkpoint hook.
        """
        hook = next((hook for hook in self.hooks if isinstance(hook, CheckpointHook)), None)
        return None if hook is None else hook.save_now(self, done=done)

    def dump_config(self) -> None:
        """Do nothing: the config is written when a run begins, not when a runner is built."""

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other trainings out of the work directory, and clear up after dead ones."""
        if not is_main_process():
            yield
            return
        folder = Path(self.work_dir)
        with run_lock(folder) as locked:
            folders = [folder, *self._checkpoint_folders()] if locked else []
            removed = sum(len(remove_parts(folder)) for folder in folders)
            if removed:
                self.logger.info(f'Removed {removed} unfinished file(s) of a run that was killed')
            yield

    def _checkpoint_folders(self) -> list[Path]:
        folder = Path(self.work_dir)
        return [Path(hook.out_dir) / folder.name for hook in self.hooks
                if isinstance(hook, CheckpointHook) and hook.out_dir]

    @master_only
    def _write_config(self) -> None:
        """Write the config beside the results of the run."""
        name = Path(self.cfg.filename or f'{self.timestamp}.py').name
        atomic_write_text(self.cfg.dump() if not name.endswith('.py') else self._config_text,
                          Path(self.work_dir) / name)

    def save_checkpoint(self, out_dir: str, filename: str, file_client_args: dict | None = None,
                        save_optimizer: bool = True, save_param_scheduler: bool = True,
                        meta: dict | None = None, by_epoch: bool = True,
                        backend_args: dict | None = None) -> None:
        """Write a checkpoint of plain values atomically. Every process must call it.

        The arguments are MMEngine's; ``file_client_args`` and ``backend_args`` are not used,
        since only a local file system can rename a finished file.
        """
        states = all_gather_object(get_rng_state()) if save_optimizer else []
        gradients = accumulated_gradients(self.optim_wrapper) if save_optimizer else None
        if not is_main_process():
            return
        checkpoint = self._collect(meta, by_epoch)
        checkpoint['rng'] = states
        if save_optimizer:
            checkpoint['optimizer'] = self.optim_wrapper.state_dict()
            if gradients is not None:
                checkpoint['accumulated'] = gradients
        if save_param_scheduler:
            checkpoint['param_schedulers'] = [
                scheduler.state_dict() for scheduler in self.param_schedulers or []]
        self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        atomic_torch_save(to_plain(checkpoint), Path(out_dir) / filename)

    def build_log_processor(self, log_processor: dict | _LogProcessor) -> _LogProcessor:
        """Build the progress line, by default that of this package."""
        if isinstance(log_processor, dict):
            log_processor = {'type': 'LogProcessor', **log_processor}
        return super().build_log_processor(log_processor)

    def get_hooks_info(self) -> str:
        """Names of the hooks in the order of their calls, on one line."""
        return ', '.join(type(hook).__name__ for hook in self.hooks)

    def _log_env(self, env_cfg: dict) -> None:
        """Log what a result depends on; the whole config is in the work directory."""
        versions = ', '.join(f'{name} {version}' for name, version in package_versions().items())
        self.logger.info(versions)
        self.logger.info(f'{device_name()}, {self.world_size} process(es), seed {self.seed}')
        self.logger.info(f'config {self.cfg.filename}, work directory {self.work_dir}')

    @cached_property
    def _config_text(self) -> str:
        return self.cfg.pretty_text

    @property
    def _bare_model(self) -> nn.Module:
        model = self.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        return model

    def _collect(self, meta: dict | None, by_epoch: bool) -> dict:
        """Weights, progress and description of this run."""
        ended = dict(epoch=self.epoch + 1, iter=self.iter) if by_epoch else dict(
            epoch=self.epoch, iter=self.iter + 1)
        dataset = self.train_dataloader.dataset
        hub = self.message_hub.state_dict()
        # The history of every scalar is in the log; only the latest facts are needed here.
        known = hub['runtime_info']
        return dict(
            meta={**ended, **(meta or {}), 'cfg': self._config_text, 'seed': self.seed,
                  'experiment_name': self.experiment_name, 'time': time.strftime('%Y%m%d_%H%M%S'),
                  'mmengine_version': mmengine.__version__,
                  'dataset_meta': getattr(dataset, 'metainfo', {})},
            state_dict=self._bare_model.state_dict(),
            message_hub=dict(log_scalars={}, runtime_info=known, resumed_keys={
                key: value for key, value in hub['resumed_keys'].items() if key in known}))
