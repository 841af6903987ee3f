"""What looks wrong in data, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmengine.config import Config

from unimask.datasets.reporting import some
from unimask.survey.splits import SplitSurvey

__all__ = ['Finding', 'find']

_MANY = 0.2  # share of something from which it is no longer an exception
_RARE = 0.001  # share of the pictures


@dataclass(frozen=True)
class Finding:
    """Something to look at.

    Attributes:
        level: ``error`` where a training would stop or be in vain, else ``warning`` or ``note``.
        text: What it is, where, and what may be done.
    """

    level: str
    text: str

    def __str__(self) -> str:
        return f'{self.level}: {self.text}'


def find(splits: Sequence[SplitSurvey], cfg: Config) -> list[Finding]:
    """All findings, errors first.

    Args:
        splits: What was seen.
        cfg: Config, for the number of queries.
    """
    queries = cfg.get('model', {}).get('head', {}).get('num_queries')
    found = [finding for split in splits for finding in (
        *_broken(split), *_remarks(split), *_empty(split), *_crowded(split, queries),
        *_segments(split), *_twins(split), *_crops(split))]
    if len(splits) > 1:
        found += _one_sided(*splits)
    found += _rare(splits[0])
    order = ('error', 'warning', 'note')
    return sorted(found, key=lambda finding: order.index(finding.level))


def _broken(split: SplitSurvey) -> Iterator[Finding]:
    for text in list(split.broken.values())[:5]:
        yield Finding('error', f'{split.name}: {text}')
    if len(split.broken) > 5:
        yield Finding('error', f'{split.name}: {len(split.broken) - 5} more pictures cannot be '
                               'read.')


def _remarks(split: SplitSurvey) -> Iterator[Finding]:
    for text in dict.fromkeys(split.remarks):
        yield Finding('warning', text)


def _empty(split: SplitSurvey) -> Iterator[Finding]:
    empty = [path for path, count in split.counts.items() if not count]
    if not empty:
        return
    if len(empty) == len(split.counts):
        yield Finding('error', f'{split.name}: no picture shows any object.')
    else:
        level = 'warning' if len(empty) > _MANY * len(split.counts) else 'note'
        yield Finding(level, f'{split.name}: {len(empty)} of {len(split.counts)} pictures show '
                             f'nothing that is labelled: {some(empty)}.')


def _crowded(split: SplitSurvey, queries: int | None) -> Iterator[Finding]:
    over = [path for path, count in split.counts.items() if queries and count > queries]
    if over:
        most = max(over, key=lambda path: split.counts[path])
        yield Finding('warning', (
            f'{split.name}: {len(over)} pictures have more segments than the model has queries '
            f'({queries}), most {most} with {split.counts[most]}: the rest of them is not found. '
            'Raise model.head.num_queries.'))


def _segments(split: SplitSurvey) -> Iterator[Finding]:
    total = split.segments.total()
    gone = [segment for segment in split.tiny if not segment.pixels]
    small = [segment for segment in split.tiny if segment.pixels]
    for group, what in ((gone, 'have no pixel at all'), (small, 'have less than 16 pixels'),
                        (split.overlaps, 'are at least half under others')):
        if group:
            level = 'warning' if len(group) > _MANY * total else 'note'
            yield Finding(level, f'{split.name}: {len(group)} of {total} segments {what}: '
                                 f'{some(group)}.')


def _twins(split: SplitSurvey) -> Iterator[Finding]:
    if split.twins:
        pairs = [' = '.join(group) for group in split.twins]
        yield Finding('warning', (
            f'{split.name}: {len(pairs)} pictures occur more than once, byte by byte: '
            f'{some(pairs)}. What is trained on must not be judged by.'))


def _crops(split: SplitSurvey) -> Iterator[Finding]:
    if split.before:
        share = split.after / split.before
        level = 'warning' if share < 1 - 2 * _MANY else 'note'
        yield Finding(level, f'{split.name}: the augmentation leaves {share:.0%} of the segments '
                             'in the picture.' + (' Larger crops or a smaller range of scales '
                                                  'leave more.' if level == 'warning' else ''))


def _one_sided(train: SplitSurvey, val: SplitSurvey) -> Iterator[Finding]:
    for here, there, effect in ((val, train, 'is not learnt'), (train, val, 'is not judged')):
        names = [name for label, name in enumerate(here.taxonomy.classes)
                 if here.segments[label] and not there.segments[label]]
        if names and there.complete:
            yield Finding('warning', f'{len(names)} classes occur for {here.name} and not for '
                                     f'{there.name}: {some(names)}. What does not occur '
                                     f'for {there.name} {effect}.')


def _rare(split: SplitSurvey) -> Iterator[Finding]:
    names = [name for label, name in enumerate(split.taxonomy.classes)
             if 0 < split.pictures[label] <= max(2, _RARE * split.looked_at)
             and split.looked_at > 20]
    if names:
        yield Finding('note', f'{split.name}: {len(names)} classes occur in two pictures at most '
                              f'of the {split.looked_at} looked at: {some(names)}.')
