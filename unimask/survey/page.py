"""A page that shows what is in data: numbers, findings, and pictures with their labels."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from unimask.checkpoints import atomic_write_text
from unimask.errors import UserError
from unimask.survey.findings import Finding
from unimask.survey.splits import SplitSurvey
from unimask.visualization import UniversalVisualizer

__all__ = ['summary', 'write_page']

_WIDTH = 420  # pixels of a drawing
_STYLE = """
body {font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1320px; color: #222}
table {border-collapse: collapse; margin: 1em 0} td, th {padding: .2em .8em; text-align: right}
td:first-child, th:first-child {text-align: left} tr:nth-child(even) {background: #f4f4f4}
.error {color: #b00020} .warning {color: #8a5a00} .note {color: #555}
.bar {display: inline-block; height: .8em; background: #4a7fb5}
.sheet {display: flex; flex-wrap: wrap; gap: 12px} figure {margin: 0; width: 420px}
figcaption {font-size: 12px; color: #555; overflow-wrap: anywhere} img {width: 100%}
"""


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
    parts = [f'<!doctype html><meta charset="utf-8"><title>{escape(title)}</title>'
             f'<style>{_STYLE}</style><h1>{escape(title)}</h1>',
             *(f'<p>{escape(line)}</p>' for line in summary(splits)),
             _findings(findings), _classes(splits)]
    for split in splits:
        parts += [f'<h2>{split.name}</h2><div class="sheet">', *_sheet(split, pictures), '</div>']
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text('\n'.join(parts), path)


def _findings(findings: Sequence[Finding]) -> str:
    lines = ''.join(f'<li class="{each.level}"><b>{each.level}</b>: {escape(each.text)}</li>'
                    for each in findings)
    return f'<h2>Findings</h2><ul>{lines or "<li>nothing</li>"}</ul>'


def _classes(splits: Sequence[SplitSurvey]) -> str:
    """A table of the classes; the bar is the share of the labelled pixels."""
    head = ''.join(f'<th>{split.name}: pictures</th><th>segments</th><th>pixels</th><th></th>'
                   for split in splits)
    rows = []
    for label, name in enumerate(splits[0].taxonomy.classes):
        cells = ''.join(_cells(split, label) for split in splits)
        rows.append(f'<tr><td>{escape(name)}</td>{cells}</tr>')
    return f'<h2>Classes</h2><table><tr><th>class</th>{head}</tr>{"".join(rows)}</table>'


def _cells(split: SplitSurvey, label: int) -> str:
    share = split.pixels[label] / max(split.pixels.total(), 1)
    return (f'<td>{split.pictures[label]}</td><td>{split.segments[label]}</td><td>{share:.1%}</td>'
            f'<td style="text-align:left"><span class="bar" style="width:{120 * share:.0f}px">'
            '</span></td>')


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
        yield (f'<figure><img src="data:image/jpeg;base64,{_jpeg(drawn)}" alt="">'
               f'<figcaption>{escape(path)}, {split.counts.get(path, 0)} segments</figcaption>'
               '</figure>')


def _jpeg(picture: np.ndarray) -> str:
    factor = min(1.0, 2 * _WIDTH / picture.shape[1])
    if factor < 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode('.jpg', picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data).decode('ascii')
