"""A look at some label maps before training starts: do their values mean what the config says?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from unimask.datasets.reporting import warn
from unimask.datasets.transforms.loading import LoadSemanticMap
from unimask.errors import UserError

__all__ = ['LabelSurvey', 'survey_labels']

AT_LEAST = 16  # maps
BUDGET = 100_000_000  # pixels, a few seconds; ten times as many while only one class was seen
UNLABELLED = 0.3  # share of zeros from which they hardly mean "unlabelled"


@dataclass
class LabelSurvey:
    """What was seen in the label maps of a data set.

    Attributes:
        example: First of the files.
        maps: How many were looked at.
        complete: Whether these were all.
        values: Pixels by value in the file.
        labels: Pixels by label, ignored ones left aside.
    """

    example: str
    maps: int = 0
    complete: bool = False
    values: Counter = field(default_factory=Counter)
    labels: Counter = field(default_factory=Counter)

    @property
    def text(self) -> str:
        """How many maps, in words."""
        return f'{"all" if self.complete else "the"} {self.maps} label maps' + (
            '' if self.complete else ' looked at')

    def add(self, values: np.ndarray, labels: np.ndarray, ignore_index: int) -> None:
        """Count the pixels of a map."""
        self.maps += 1
        self.values.update(_counts(values))
        self.labels.update(_counts(labels))
        self.labels.pop(ignore_index, None)

    def check_binary(self, classes: Sequence[str], *, owner: str, excused: bool) -> None:
        """Refuse masks of 0 and 255 whose foreground would be ignored.

        Args:
            classes: Their names.
            owner: Dataset type, for the message.
            excused: Whether the config says what the values mean.

        Raises:
            UserError: If there are several classes, of which the maps show one at most.
        """
        if excused or set(self.values) != {0, 255} or 255 in self.labels:
            return
        text = (f'{owner}: {self.text} (such as {self.example}) have no values but 0 and 255, and '
                '255 means "ignore": ')
        meaning = ('If 255 is the foreground, say so with metainfo=dict(classes=(...), '
                   'file_labels={255: 1}), or save the maps anew with 1 in its place; if it does '
                   'mean "ignore", state file_labels={255: 255}.')
        if len(classes) > 1:
            raise UserError(f'{text}no class but {classes[0]!r} would ever be seen, and every '
                            f'score be perfect. {meaning}')
        warn(f'{text}every pixel that counts is {classes[0]!r}. If 255 is the foreground, state '
             "the background too: metainfo=dict(classes=('background', "
             f'{classes[0]!r}), file_labels={{255: 1}}).')

    def check_shift(self, count: int, *, owner: str) -> None:
        """Warn of ``reduce_zero_label`` where the maps seem to count from 0 already."""
        zeros = self.values[0] / max(self.values.total(), 1)
        if zeros >= UNLABELLED and count not in self.values:
            warn(f'{owner}: `reduce_zero_label` is set: 0 means "unlabelled" and the labels 1 to '
                 f'{count} move down by one. But in {self.text} (such as {self.example}) '
                 f'{zeros:.0%} of the pixels are 0 and none is {count}, as if they counted from 0. '
                 'Then state reduce_zero_label=False.')


def survey_labels(items: Sequence[Mapping], loader: LoadSemanticMap) -> LabelSurvey:
    """Look at label maps in a fixed random order until enough is known.

    Args:
        items: Those of the data set.
        loader: How the pipeline reads them.

    Raises:
        UserError: If one cannot be read, or has a label outside the classes.
    """
    survey = LabelSurvey(example=items[0]['seg_map_path'])
    for item in _shuffled(items):
        if _is_settled(survey, item['num_classes']):
            return survey
        values, labels = loader.read(item)
        survey.add(values, labels, loader.ignore_index)
    survey.complete = True
    return survey


def _shuffled(items: Sequence[Mapping]) -> Iterator[Mapping]:
    order = list(range(len(items)))
    random.Random(0).shuffle(order)
    return (items[i] for i in order)


def _is_settled(survey: LabelSurvey, num_classes: int) -> bool:
    seen, pixels = len(survey.labels), survey.values.total()
    enough = BUDGET if seen > 1 or num_classes == 1 else 10 * BUDGET
    return survey.maps >= AT_LEAST and (seen == num_classes or pixels > enough)


def _counts(values: np.ndarray) -> dict[int, int]:
    """Pixels by value."""
    counts = np.bincount(values.ravel())
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
