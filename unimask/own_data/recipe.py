"""A complete config for a user's data, with settings that fit the data and the machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config

from unimask.errors import UserError, did_you_mean
from unimask.own_data.parts import OwnData, Part
from unimask.pipelines import crop_and_colour, jitter_and_crop, testing, training
from unimask.preflight.config_files import config_folder

__all__ = ['Machine', 'Settings', 'choose_settings', 'make_config', 'models']

_METHODS = ('mask2former', 'mask2former-small', 'mp-former')
_SMALL = 'mask2former-small-tf-efficientnet-lite0'
_LARGE = 'mask2former-r50'
_SCORES = dict(semantic='semantic/mIoU', instance='instance/AP', panoptic='panoptic/PQ')
# Trainings are short beside the published ones: queries are less sure, and several find the same
# object.
_PANOPTIC = dict(object_threshold=0.5, duplicate_iou=0.5)
_LOADERS = dict(semantic='LoadSemanticMap', instance='LoadInstances', panoptic='LoadPanopticMap')
_EVALUATORS = dict(semantic=('MeanIoUMetric',), instance=('MaskAPMetric',),
                   panoptic=('PQMetric', 'MaskAPMetric', 'MeanIoUMetric'))
# Of a GPU's memory, for a picture of 1024 x 1024: what a Mask2Former with ResNet-50 needs at most.
_BYTES_PER_MEGAPIXEL = 8e9


@dataclass(frozen=True)
class Machine:
    """What there is to compute with.

    Attributes:
        memory: Bytes of the GPU; 0 without one.
    """

    memory: int = 0

    @classmethod
    def here(cls) -> Machine:
        """This one."""
        if not torch.cuda.is_available():
            return cls()
        return cls(torch.cuda.get_device_properties(0).total_memory)


@dataclass(frozen=True)
class Settings:
    """What follows from data and machine.

    Attributes:
        model: Name of the model, see :func:`models`.
        crop: Edge of the square that is trained on, in pixels.
        short_edge: Shorter edge of pictures in a test.
        long_edge: Limit of the longer edge in a test.
        batch: Pictures per step.
        iterations: Steps of the training.
        lr: Learning rate.
        queries: Of the model.
        workers: Processes that read pictures.
    """

    model: str
    crop: int
    short_edge: int
    long_edge: int
    batch: int
    iterations: int
    lr: float
    queries: int
    workers: int = 2

    def __str__(self) -> str:
        return (f'model {self.model}, crops of {self.crop} x {self.crop}, {self.batch} pictures a '
                f'step, {self.iterations} steps, learning rate {self.lr:.2g}, '
                f'{self.queries} queries')


def models() -> dict[str, tuple[str, str]]:
    """Names of models, with their files of ``configs/_base_``: method and backbone.

    Of two files with equal backbones that of timm is taken, which needs no MMDetection.
    """
    stems = sorted(path.stem for path in (_bases() / 'backbones').glob('*.py'))
    backbones = {stem: f'timm-{stem}' if f'timm-{stem}' in stems else stem for stem in stems
                 if not stem.startswith(('semask-', 'timm-'))}
    return {f'{method}-{name}': (method.replace('-', '_'), file)
            for method in _METHODS for name, file in backbones.items()}


def choose_settings(data: OwnData, machine: Machine, *, model: str = 'auto',
                    iterations: int | None = None) -> Settings:
    """Settings for data and machine.

    The crop is as large as the pictures and the machine allow, the batch as large as the memory.
    A picture is seen about 40 times. The learning rate is that of the published models, which were
    trained with 16 pictures a step, times the square root of the ratio of the batch sizes; that of
    the small models, which Muon trains, is stated for 2. There are half as many queries again as
    objects in the most crowded picture, and no fewer than in the published models.

    Args:
        data: The user's.
        machine: Where the training runs.
        model: One of :func:`models`; ``auto`` for a small one where there is no GPU.
        iterations: Steps, in place of those that follow from the number of pictures.

    Raises:
        UserError: There is no such model.
    """
    model = _model(model, machine)
    small = 'small' in model
    limit = (640 if small else 1024) if machine.memory else 384
    crop = max(128, min(limit, 32 * math.ceil(data.train.short_edge / 32)))
    batch = _batch(crop, machine, data.train.images)
    epochs = math.ceil(data.train.images / batch)
    bounds = (1000, 50_000) if machine.memory else (500, 3000)
    objects = max(data.train.objects, data.val.objects)
    least = 50 if small else 100
    return Settings(
        model=model, crop=crop, short_edge=crop, long_edge=2 * crop, batch=batch,
        iterations=iterations or min(max(40 * epochs, bounds[0]), bounds[1]),
        lr=1e-3 * math.sqrt(batch / 2) if small else 1e-4 * math.sqrt(batch / 16),
        queries=max(least, 50 * math.ceil(1.5 * objects / 50)))


def _model(name: str, machine: Machine) -> str:
    if name == 'auto':
        return _LARGE if machine.memory else _SMALL
    if name not in models():
        raise UserError(f'model {name!r} is unknown.{did_you_mean(name, models())} Known are '
                        f'{", ".join(models())}.')
    return name


def _batch(crop: int, machine: Machine, images: int) -> int:
    most = int(machine.memory / (_BYTES_PER_MEGAPIXEL * (crop / 1024) ** 2)) or 1
    return min(max(2, most), 16, max(2, images // 4)) if machine.memory else 2


def make_config(data: OwnData, settings: Settings, *, weights: str | Path | None = 'imagenet'
                ) -> Config:
    """The config, with nothing left to a base file.

    Args:
        data: The user's.
        settings: From :func:`choose_settings`, or changed ones.
        weights: ``imagenet`` for those of the backbone that the model's config names; a file of a
            trained model to go on from; None for random ones.
    """
    method, backbone = models()[settings.model]
    schedule = 'mask2former_small_muon' if 'small' in method else 'mask2former'
    files = [f'backbones/{backbone}.py', f'methods/{method}.py', 'loaders.py',
             'default_runtime.py', f'schedules/{schedule}.py']
    text = (f'_base_ = {[str(_bases() / file) for file in files]!r}\n'
            'model = dict(**_base_.encoder)\n')
    cfg = Config.fromstring(text, '.py')
    cfg.pop('encoder')
    _set_model(cfg, data, settings, weights)
    _set_data(cfg, data, settings)
    _set_schedule(cfg, data, settings)
    return cfg


def _bases() -> Path:
    return config_folder() / '_base_'


def _set_model(cfg: Config, data: OwnData, settings: Settings, weights: str | Path | None) -> None:
    tasks = ['semantic', 'instance', 'panoptic'] if data.task == 'panoptic' else [data.task]
    cfg.model.test_cfg = dict(tasks=tasks)
    cfg.model.head.num_queries = settings.queries
    if data.task == 'panoptic':
        cfg.merge_from_dict({'model.post_processors.panoptic': _PANOPTIC})
    if weights is None:
        cfg.model.init_cfg = None
    elif weights != 'imagenet':
        cfg.model.init_cfg = None
        cfg.load_from = str(weights)


def _set_data(cfg: Config, data: OwnData, settings: Settings) -> None:
    load = _LOADERS[data.task]
    test_load = dict(type=load, keep_crowd=True) if data.task == 'instance' else load
    train = training(load, _augmentation(data, settings), drop_empty=data.task == 'instance')
    test = testing(test_load, short_edge=settings.short_edge, max_long=settings.long_edge)
    cfg.train_dataloader.update(batch_size=settings.batch, num_workers=settings.workers,
                                dataset=_dataset(data.train, train))
    if data.task != 'semantic':
        cfg.train_dataloader.batch_sampler = dict(type='AspectRatioBatchSampler')
    held_out = dict(_dataset(data.val, test), test_mode=True)
    cfg.val_dataloader.update(num_workers=1, dataset=held_out)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.val_evaluator = [dict(type=name) for name in _EVALUATORS[data.task]]
    cfg.test_evaluator = cfg.val_evaluator


def _dataset(part: Part, pipeline: Sequence[dict]) -> dict:
    return dict(part.dataset, pipeline=list(pipeline))


def _augmentation(data: OwnData, settings: Settings) -> list[dict]:
    if data.task == 'semantic':
        edges = [round(settings.crop * ratio) for ratio in (0.5, 0.75, 1.0, 1.25, 1.5)]
        return [dict(type='ResizeShortestEdge', short_edge=edges),
                *crop_and_colour((settings.crop, settings.crop))]
    return [*jitter_and_crop(settings.crop, ratio_range=(0.5, 1.5)), dict(type='ColorAugSSD')]


def _set_schedule(cfg: Config, data: OwnData, settings: Settings) -> None:
    steps = settings.iterations
    interval = max(1, steps // 5)
    cfg.optim_wrapper.optimizer.lr = settings.lr
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps, val_interval=interval)
    warm_up = min(50, max(1, steps // 10))
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, begin=0, end=warm_up, by_epoch=False),
        dict(type='PolyLR', power=0.9, by_epoch=False)]
    cfg.auto_scale_lr = dict(enable=False, base_batch_size=settings.batch)
    cfg.default_hooks.logger.interval = max(1, min(50, steps // 20))
    cfg.default_hooks.checkpoint.update(interval=interval, save_best=_SCORES[data.task],
                                        rule='greater')
