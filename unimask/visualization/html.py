"""Pages of one file: nothing is fetched from anywhere. Pictures are RGB uint8 (h, w, 3)."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

import cv2
import numpy as np

__all__ = ['bar', 'document', 'figure', 'sheet', 'svg', 'table']

_WIDTH = 420  # pixels of a picture on the page; it is stored twice as wide
_STYLE = """
body {font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1320px; padding: 0 1em;
  color: #222}
table {border-collapse: collapse; margin: 1em 0} td, th {padding: .2em .8em; text-align: right}
td:first-child, th:first-child {text-align: left} tr:nth-child(even) {background: #f4f4f4}
.facts td {text-align: left; vertical-align: top} .facts td:first-child {color: #555}
.error {color: #b00020} .warning {color: #8a5a00} .note {color: #555}
.track {display: inline-block; width: 120px; text-align: left}
.bar {display: inline-block; height: .8em; background: #4a7fb5}
.sheet {display: flex; flex-wrap: wrap; gap: 12px} figure {margin: 0; width: 420px}
.wide figure {width: 100%} .curves {width: 100%}
figcaption {font-size: 12px; color: #555; overflow-wrap: anywhere} img {width: 100%}
code {background: #f4f4f4; padding: 0 .2em}
"""


def document(title: str, parts: Iterable[str]) -> str:
    """A whole page.

    Args:
        title: Plain text.
        parts: HTML.
    """
    head = (f'<!doctype html><meta charset="utf-8"><title>{escape(title)}</title>'
            f'<style>{_STYLE}</style><h1>{escape(title)}</h1>')
    return '\n'.join([head, *parts])


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = '') -> str:
    """A table; the cells are HTML.

    Args:
        head: Titles of the columns, plain text; none for a table without them.
        rows: The cells.
        kind: Class in the style sheet.
    """
    titles = ''.join(f'<th>{escape(title)}</th>' for title in head)
    lines = [f'<tr>{titles}</tr>'] if titles else []
    lines += ['<tr>' + ''.join(f'<td>{cell}</td>' for cell in row) + '</tr>' for row in rows]
    return f'<table class="{kind}">' + ''.join(lines) + '</table>'


def bar(share: float) -> str:
    """A bar whose length is a share, 0 to 1."""
    length = round(120 * share)
    return f'<span class="track"><span class="bar" style="width:{length}px"></span></span>'


def figure(picture: np.ndarray, caption: str, *, width: int = _WIDTH) -> str:
    """A picture with a line below it.

    Args:
        picture: RGB.
        caption: Plain text.
        width: Pixels on the page; larger pictures are stored twice as wide.
    """
    return (f'<figure><img src="data:image/jpeg;base64,{_jpeg(picture, 2 * width)}" alt="">'
            f'<figcaption>{escape(caption)}</figcaption></figure>')


def sheet(figures: Iterable[str], *, wide: bool = False) -> str:
    """Figures beside each other, or one below the other where they are wide."""
    return f'<div class="sheet{" wide" if wide else ""}">' + '\n'.join(figures) + '</div>'


def svg(drawing: bytes, *, kind: str) -> str:
    """A drawing in SVG, as a picture of its own, so that its names meet no others.

    Args:
        drawing: The file.
        kind: Class in the style sheet.
    """
    data = base64.b64encode(drawing).decode('ascii')
    return f'<img class="{kind}" src="data:image/svg+xml;base64,{data}" alt="">'


def _jpeg(picture: np.ndarray, most: int) -> str:
    factor = min(1.0, most / picture.shape[1])
    if factor < 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode('.jpg', picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data).decode('ascii')
