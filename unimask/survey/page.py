"""A page that shows what is in data: numbers, findings, and pictures with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from statistics import median

import numpy as np

from unimask.checkpoints import atomic_write_text
from unimask.errors import UserError
from unimask.survey.findings import Finding
from unimask.survey.splits import SplitSurvey
from unimask.visualization import UniversalVisualizer, html

__all__ = ['summary', 'write_page']


def summary(splits: Sequence[SplitSurvey]) -> list[str]:
    """A line for each split."""
    return [_line(split) for split in splits]


def _line(split: SplitSurvey) -> str:
    seen = 'all' if split.complete else f'{split.looked_at}'
    edges = [min(size) for size in split.sizes]
    size = (f', shorter edge {min(edges)} to {max(edges)} pixels (median {median(edges):g})'
            if edges else '')
    most = max(split.counts.values(), default=0)
    used = sum(count > 0 for count in split.segments.values())
    return (f'{split.name}: {split.images} pictures ({seen} looked at){size}; '
            f'{split.segments.total()} segments of {used} of {len(split.taxonomy.classes)} '
            f'classes, at most {most} in a picture')


def write_page(path: Path, title: str, splits: Sequence[SplitSurvey],
               findings: Sequence[Finding], *, pictures: int = 24) -> None:
    """Write the page, one file with everything in it.

    Args:
        path: Of the page.
        title: What was looked at.
        splits: What was seen.
        findings: What looks wrong.
        pictures: Pictures to show of each split, spread over it.
    """
    parts = [*(f'<p>{escape(line)}</p>' for line in summary(splits)),
             _findings(findings), _classes(splits)]
    for split in splits:
        parts += [f'<h2>{split.name}</h2>', html.sheet(_sheet(split, pictures))]
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(html.document(title, parts), path)


def _findings(findings: Sequence[Finding]) -> str:
    lines = ''.join(f'<li class="{each.level}"><b>{each.level}</b>: {escape(each.text)}</li>'
                    for each in findings)
    return f'<h2>Findings</h2><ul>{lines or "<li>nothing</li>"}</ul>'


def _classes(splits: Sequence[SplitSurvey]) -> str:
    """A table of the classes; the bar is the share of the labelled pixels."""
    head = [title for split in splits
            for title in (f'{split.name}: pictures', 'segments', 'pixels')]
    rows = [[escape(name), *(cell for split in splits for cell in _cells(split, label))]
            for label, name in enumerate(splits[0].taxonomy.classes)]
    return f'<h2>Classes</h2>{html.table(["class", *head], rows)}'


def _cells(split: SplitSurvey, label: int) -> list[str]:
    share = split.pixels[label] / max(split.pixels.total(), 1)
    return [str(split.pictures[label]), str(split.segments[label]),
            f'{share:.1%} {html.bar(share)}']


def _sheet(split: SplitSurvey, count: int) -> Iterator[str]:
    visualizer = UniversalVisualizer()
    visualizer.dataset_meta = split.dataset.metainfo
    for number in np.unique(np.linspace(0, split.images - 1, min(count, split.images)).round()):
        path = str(split.dataset.get_data_info(int(number))['img_path'])
        if path in split.broken:
            continue
        try:
            item = split.dataset[int(number)]
        except UserError:  # among those that were not looked at
            continue
        image = item['inputs'].numpy().transpose(1, 2, 0)[..., ::-1]
        drawn = visualizer.draw(np.ascontiguousarray(image), item['data_samples'])
        yield html.figure(drawn, f'{path}, {split.counts.get(path, 0)} segments')
