"""Counting what a data set holds.

Shapes: N segments of an image, (h, w) its size.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger

from unimask.data_sample import DataSample
from unimask.errors import UserError
from unimask.models.segmentors.targets import make_targets
from unimask.registry import DATASETS
from unimask.structures import Taxonomy

__all__ = ['SplitSurvey', 'Segment', 'survey']

_TINY = 16  # pixels: less than that can hardly be learnt
_CROPPED = 100  # pictures whose augmentation is looked at


@dataclass(frozen=True)
class Segment:
    """A segment that stands out.

    Attributes:
        image: Path of the picture.
        name: Of the class.
        pixels: Its area, or the part that is meant.
    """

    image: str
    name: str
    pixels: int

    def __str__(self) -> str:
        return f'{self.name} of {self.pixels} pixels in {self.image}'


@dataclass
class SplitSurvey:
    """What was seen in the pictures for training or for validation.

    Attributes:
        name: ``train`` or ``val``.
        dataset: The data set, which reads pictures and labels as they are.
        taxonomy: Its classes.
        images: Pictures that there are.
        looked_at: Pictures whose labels were looked at, pixel by pixel.
        pictures: Pictures by class, of those.
        segments: Segments by class, of those.
        pixels: Pixels by class, of those.
        counts: Segments by picture, of those; of all where the annotation is one file.
        sizes: (h, w) of those.
        tiny: Segments of a few pixels or of none.
        overlaps: Segments of which at least half is under others.
        broken: What is wrong, by the picture that cannot be read.
        twins: Pictures that are the same file, byte by byte.
        remarks: What the data set itself warned of.
        before: Segments of some pictures.
        after: What is left of those after the augmentation of training.
    """

    name: str
    dataset: BaseDataset
    taxonomy: Taxonomy
    images: int
    looked_at: int = 0
    pictures: Counter = field(default_factory=Counter)
    segments: Counter = field(default_factory=Counter)
    pixels: Counter = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    tiny: list[Segment] = field(default_factory=list)
    overlaps: list[Segment] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    twins: list[list[str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    before: int = 0
    after: int = 0

    @property
    def complete(self) -> bool:
        """Whether all labels were looked at."""
        return self.looked_at + len(self.broken) == self.images


def survey(cfg: Config, *, limit: int = 300,
           progress: Callable[[Sequence[int], str], Iterable[int]] | None = None
           ) -> list[SplitSurvey]:
    """Look at the data of a config.

    Args:
        cfg: Config; it is not changed.
        limit: Labels of so many pictures at most are looked at, chosen at random.
        progress: Shows how far it is: takes the numbers of pictures and a text.

    Raises:
        UserError: A data set cannot be made.
    """
    found = []
    for name in ('train', 'val'):
        loader = cfg.get(f'{name}_dataloader')
        if loader:
            found.append(_survey(name, loader, limit, progress or (lambda items, text: items)))
    if not found:
        raise UserError('the config has neither train_dataloader nor val_dataloader: there are no '
                        'data to look at.')
    _find_twins(found)
    return found


def _survey(name: str, loader: Mapping, limit: int, progress: Callable) -> SplitSurvey:
    with _remarks() as remarks:
        dataset = DATASETS.build(_as_it_is(loader['dataset']))
        split = SplitSurvey(name, dataset, Taxonomy.from_metainfo(dataset.metainfo), len(dataset),
                            remarks=remarks)
        split.counts.update(_counts_of_file(dataset))
        chosen = _some(len(dataset), limit)
        for number in progress(chosen, f'looking at {len(chosen)} pictures for {name}'):
            path = str(dataset.get_data_info(number)['img_path'])
            try:
                _add(split, path, dataset[number]['data_samples'])
            except UserError as error:
                split.broken[path] = str(error)
        if name == 'train':
            _look_at_crops(split, loader['dataset'], chosen[:_CROPPED])
    return split


def _as_it_is(dataset: Mapping) -> dict:
    """The data set without augmentation, resizing and filters."""
    load = [step for step in dataset['pipeline'] if str(step['type']).startswith('Load')]
    return {key: value for key, value in dataset.items() if key != 'filter_cfg'} | dict(
        pipeline=[*load, dict(type='PackSegInputs')])


def _some(count: int, limit: int) -> list[int]:
    order = list(range(count))
    random.Random(0).shuffle(order)
    return sorted(order[:limit])


def _counts_of_file(dataset: BaseDataset) -> Iterator[tuple[str, int]]:
    for number in range(len(dataset)):
        item = dataset.get_data_info(number)
        if 'instances' in item:
            yield str(item['img_path']), sum(not each['ignore_flag'] for each in item['instances'])


def _add(split: SplitSurvey, path: str, sample: DataSample) -> None:
    targets = make_targets(sample, split.taxonomy)
    masks = targets.dense().numpy()
    areas = masks.reshape(len(masks), -1).sum(1) if len(masks) else np.zeros(0, int)
    labels = targets.labels.tolist()
    split.looked_at += 1
    split.sizes.append(targets.size)
    split.counts[path] = len(labels)
    split.pictures.update(set(labels))
    split.segments.update(labels)
    for label, area in zip(labels, areas.tolist(), strict=True):
        split.pixels[label] += area
        if area < _TINY:
            split.tiny.append(Segment(path, split.taxonomy.classes[label], area))
    if targets.masks is not None and len(masks) > 1:
        covered = masks.sum(0) > 1
        for label, mask, area in zip(labels, masks, areas.tolist(), strict=True):
            shared = int((mask & covered).sum())
            if area and 2 * shared >= area:
                split.overlaps.append(Segment(path, split.taxonomy.classes[label], shared))


def _look_at_crops(split: SplitSurvey, dataset: Mapping, chosen: Sequence[int]) -> None:
    """Count segments before and after the augmentation, of the same pictures."""
    pipeline = [dict(step, drop_empty=False) if step['type'] == 'PackSegInputs' else step
                for step in dataset['pipeline']]
    augmented = DATASETS.build({key: value for key, value in dataset.items()
                                if key != 'filter_cfg'} | dict(pipeline=pipeline))
    for number in chosen:
        path = str(augmented.get_data_info(number)['img_path'])
        if path not in split.counts or path in split.broken:
            continue
        targets = make_targets(augmented[number]['data_samples'], split.taxonomy)
        areas = targets.dense().flatten(1).sum(1) if len(targets) else np.zeros(0)
        split.before += split.counts[path]
        split.after += int((areas > 0).sum())


def _find_twins(splits: Sequence[SplitSurvey]) -> None:
    """Pictures that are the same file; those of two splits are told with the second."""
    by_size: dict[int, list[tuple[SplitSurvey, str]]] = defaultdict(list)
    for split in splits:
        for number in range(len(split.dataset)):
            path = str(split.dataset.get_data_info(number)['img_path'])
            if Path(path).is_file():
                by_size[Path(path).stat().st_size].append((split, path))
    for group in by_size.values():
        if len(group) > 1:
            _compare(group)


def _compare(group: Sequence[tuple[SplitSurvey, str]]) -> None:
    same: dict[bytes, list[tuple[SplitSurvey, str]]] = defaultdict(list)
    for split, path in group:
        same[hashlib.sha256(Path(path).read_bytes()).digest()].append((split, path))
    for twins in same.values():
        if len(twins) > 1:
            twins[-1][0].twins.append([path for _, path in twins])


@contextmanager
def _remarks() -> Iterator[list[str]]:
    """Warnings of data sets, collected and kept from the screen."""
    kept: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                kept.append(record.getMessage())

    logger = MMLogger.get_current_instance()
    handlers, level = logger.handlers, logger.level
    logger.handlers = [Keeper()]
    logger.setLevel(logging.WARNING)
    try:
        yield kept
    finally:
        logger.handlers = handlers
        logger.setLevel(level)
