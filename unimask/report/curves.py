"""Curves of a training."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unimask.report.records import Record, step_of

__all__ = ['as_svg', 'draw_curves']

_POINTS = 400  # of a curve; more of them are averaged
_TERMS = 8  # curves in a panel
_EARLIER = re.compile(r'(^|\.)d\d+\.')  # losses of the predictions before the last one
_STYLE = {'svg.fonttype': 'none', 'font.size': 9, 'axes.grid': True, 'grid.alpha': 0.3,
          'axes.spines.top': False, 'axes.spines.right': False}


def draw_curves(record: Record) -> Figure | None:
    """Losses, learning rates and scores by step; None where nothing was logged."""
    panels = {title: curves for title, curves in (
        ('loss', _chosen(record.losses, ['loss'])),
        ('loss terms of the last prediction', _chosen(record.losses, _terms(record.losses))),
        ('learning rate', _different(_chosen(record.losses, _rates(record.losses)))),
        ('scores', _chosen(record.scores, main_scores(record.scores)))) if curves}
    if not panels:
        return None
    with matplotlib.rc_context(_STYLE):
        rows = -(-len(panels) // 2)
        figure = Figure(figsize=(13, 3.4 * rows), layout='constrained')
        for index, (title, curves) in enumerate(panels.items(), 1):
            axes = figure.add_subplot(rows, min(2, len(panels)), index)
            _draw(axes, title, curves)
            _mark(axes, record)
    return figure


def as_svg(figure: Figure) -> bytes:
    """The file of a drawing; letters stay letters."""
    file = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(file, format='svg', metadata=dict(Date=None))
    return file.getvalue()


def main_scores(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The first score of every metric: ``panoptic/PQ``, ``instance/AP``, ``semantic/mIoU``."""
    first: dict[str, str] = {}
    for name in _names(entries):
        first.setdefault(name.partition('/')[0], name)
    return list(first.values())[:_TERMS]


def _terms(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in _names(entries)
            if 'loss' in name and name != 'loss' and not _EARLIER.search(name)][:_TERMS]


def _rates(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in _names(entries) if name.endswith('lr')]


def _names(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for entry in entries for name in entry if name != 'step'))


def _chosen(entries: Sequence[Mapping[str, Any]], names: Sequence[str]
            ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and values by name, as far as they are numbers."""
    curves = {}
    for name in names:
        points = [(entry['step'], entry[name]) for entry in entries
                  if isinstance(entry.get(name), (int, float)) and np.isfinite(entry[name])]
        if points:
            steps, values = np.array(points, dtype=float).T
            curves[name] = _thinned(steps), _thinned(values)
    return curves


def _thinned(values: np.ndarray) -> np.ndarray:
    if len(values) <= _POINTS:
        return values
    return np.array([part.mean() for part in np.array_split(values, _POINTS)])


def _different(curves: dict[str, tuple[np.ndarray, np.ndarray]]
               ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Without those that repeat another one."""
    kept: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, curve in sorted(curves.items(), key=lambda item: len(item[0])):
        if not any(np.array_equal(curve[1], other[1]) for other in kept.values()):
            kept[name] = curve
    return kept


def _draw(axes: Axes, title: str, curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    for name, (steps, values) in curves.items():
        few = len(steps) <= 30
        axes.plot(steps, values, label=name, linewidth=1.4, marker='o' if few else None,
                  markersize=3)
    axes.set_title(title, loc='left', fontsize=10)
    axes.set_xlabel('step')
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.ticklabel_format(axis='y', scilimits=(-3, 5))
    if len(curves) > 1:
        axes.legend(frameon=False)
    elif title != next(iter(curves)):
        axes.set_ylabel(next(iter(curves)))


def _mark(axes: Axes, record: Record) -> None:
    """Lines where the training was resumed, and at the best checkpoint."""
    for step in record.resumed:
        axes.axvline(step, color='0.5', linewidth=0.8, linestyle=':')
    best = step_of(record.best)
    if best is not None and axes.get_title(loc='left') == 'scores':
        axes.axvline(best, color='#2a7d2a', linewidth=0.8, linestyle='--')
