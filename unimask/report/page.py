"""The page about a training, as HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from html import escape
from typing import Any

from unimask.report.curves import as_svg, draw_curves
from unimask.report.records import Record, step_of
from unimask.visualization import html

__all__ = ['page']


def page(record: Record, worst: str) -> str:
    """The whole page.

    Args:
        record: What is known of the run.
        worst: HTML of the worst pictures, or of what keeps them from being shown.
    """
    curves = draw_curves(record)
    parts = ['<h2>What was trained</h2>', html.table((), _facts(record), kind='facts')]
    if curves is not None:
        parts += ['<h2>Curves</h2>', html.svg(as_svg(curves), kind='curves'),
                  f'<p class="note">{_legend(record)}</p>']
    parts += ['<h2>Scores</h2>', _scores(record), '<h2>Classes</h2>', _classes(record),
              '<h2>Worst pictures</h2>', worst]
    return html.document(f'Training {record.folder.resolve().name}', parts)


def _facts(record: Record) -> list[tuple[str, str]]:
    told = record.told
    rows = [('config', str(record.config.name if record.config else '')),
            ('model', _model(told)), *_data(told), ('length', _length(record)),
            ('batch', _batch(told)), ('seed', str(told.get('seed', ''))),
            ('time', _time(record)), ('machine', str(told.get('device', ''))),
            ('versions', _versions(told)), ('checkpoint', record.best.name if record.best else '')]
    return [(name, escape(text)) for name, text in rows if text]


def _model(told: Mapping[str, Any]) -> str:
    if 'model' not in told:
        return ''
    return f'{told["model"]}, {told["parameters"] / 1e6:.1f} million parameters'


def _data(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for split, found in told.get('data', {}).items():
        objects = '' if found.get('objects') is None else f', {found["objects"]} objects'
        classes = f', {found["classes"]} classes' if found.get('classes') else ''
        source = f', {found["source"]}' if found.get('source') else ''
        rows.append((f'data, {split}', f'{found["images"]} pictures{objects}{classes}{source}'))
    return rows


def _length(record: Record) -> str:
    last = max([entry['step'] for entry in (*record.losses, *record.scores)], default=0)
    planned = record.told.get('steps')
    return f'{last} of {planned} steps' if planned and planned != last else f'{last} steps'


def _batch(told: Mapping[str, Any]) -> str:
    if 'batch' not in told:
        return ''
    processes = told.get('processes', 1)
    return f'{told["batch"]} pictures' + (f' in each of {processes} processes'
                                          if processes > 1 else '')


def _time(record: Record) -> str:
    times = [part.times for part in record.parts if part.times]
    if not times:
        return ''
    took = sum(((end - start) for start, end in times), timedelta())
    parts = f' in {len(times)} parts' if len(times) > 1 else ''
    return f'{times[0][0]:%Y-%m-%d %H:%M} to {times[-1][1]:%Y-%m-%d %H:%M}, {took} of work{parts}'


def _versions(told: Mapping[str, Any]) -> str:
    listed = ', '.join(f'{name} {version}' for name, version in told.get('versions', {}).items())
    return listed + (f'; commit {told["commit"]}' if told.get('commit') else '')


def _legend(record: Record) -> str:
    said = []
    if record.resumed:
        said.append('Dotted: where the training was resumed.')
    if step_of(record.best) is not None and record.scores:
        said.append('Dashed: the step of the checkpoint below.')
    return ' '.join(said)


def _scores(record: Record) -> str:
    """Scores of the best checkpoint and of the last evaluation."""
    if not record.scores:
        return '<p class="note">There was no evaluation.</p>'
    last = record.scores[-1]
    columns = {f'last, step {last["step"]}': last}
    best = next((entry for entry in record.scores if entry['step'] == step_of(record.best)), None)
    if best is not None and best is not last:
        columns = {f'best, step {best["step"]}': best, **columns}
    names = [name for name in last if name != 'step']
    return html.table(['score', *columns], [
        [escape(name), *(_number(entry.get(name)) for entry in columns.values())]
        for name in names])


def _classes(record: Record) -> str:
    evaluation = record.evaluation
    if not evaluation or not evaluation['tables']:
        return ('<p class="note">No evaluation noted scores of classes. '
                f'{_how_to_evaluate(record)}</p>')
    tables = [f'<h3>{escape(prefix)}</h3>{_table(table)}'
              for prefix, found in evaluation['tables'].items() for table in found]
    return f'<p>Step {evaluation["step"]}, the worst first.</p>' + '\n'.join(tables)


def _how_to_evaluate(record: Record) -> str:
    command = escape(f'unimask report {record.folder} --evaluate')
    return f'<code>{command}</code> evaluates the checkpoint once more and notes them.'


def _table(table: Mapping[str, Any]) -> str:
    """Scores of classes, sorted by the first one; classes without a score come last."""
    order = sorted(range(len(table['classes'])), key=lambda row: _key(table['scores'][row][0]))
    counts = table['counts'] or [''] * len(table['classes'])
    rows = [[escape(table['classes'][row]), str(counts[row]),
             *map(_number, table['scores'][row]), _bar(table['scores'][row][0])] for row in order]
    return html.table(['class', table['counted'], *table['columns'], ''], rows)


def _key(score: float) -> tuple[bool, float]:
    return math.isnan(score), 0.0 if math.isnan(score) else score


def _bar(score: float) -> str:
    return html.bar(0.0 if math.isnan(score) else min(max(score / 100, 0.0), 1.0))


def _number(value: Any) -> str:
    if not isinstance(value, (int, float)) or math.isnan(value):
        return '-'
    return f'{value:.2f}'


def worst_pictures(evaluation: Mapping[str, Any], checkpoint: str, figures: Sequence[str]) -> str:
    """The section of the worst pictures.

    Args:
        evaluation: What it noted.
        checkpoint: Whose predictions are shown.
        figures: HTML of the pictures.
    """
    meaning = escape(evaluation['worst']['meaning'])
    return (f'<p>Of the validation data those with the lowest score at step {evaluation["step"]}, '
            f'predicted by {escape(checkpoint)}. The score, in percent, is the {meaning}.</p>'
            + html.sheet(figures, wide=True))
