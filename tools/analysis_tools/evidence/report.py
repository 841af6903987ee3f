"""From the results of the runs to a table, a summary and a picture."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from evidence.plan import FRACTIONS, TASKS, VARIANTS, described
from unimask.errors import UserError

__all__ = ['draw', 'into_page', 'summary', 'table']

BASELINE = 'mask2former'
_MARKED = re.compile(r'(<!-- evidence begins -->\n).*?(<!-- evidence ends -->)', re.DOTALL)
_INSTRUMENTS = {'iou': 'IoU with the layer before', 'utilisation': 'query utilisation'}


def summary(records: Iterable[dict]) -> dict:
    """Task -> variant -> mean and standard deviation over seeds at every part of the budget.

    ``gain`` is the mean of the differences to Mask2Former with the same seed at the end, with the
    standard error of that mean.
    """
    records = list(records)
    found: dict = {}
    for task in TASKS:
        own = [record for record in records if record['task'] == task]
        if own:
            found[task] = {variant: _variant(own, task, variant) for variant in VARIANTS
                           if any(record['variant'] == variant for record in own)}
    return found


def _variant(records: Sequence[dict], task: str, variant: str) -> dict:
    own = {record['seed']: record for record in records if record['variant'] == variant}
    base = {record['seed']: record for record in records if record['variant'] == BASELINE}
    name = TASKS[task].score
    last = str(FRACTIONS[-1])
    result: dict = dict(seeds=len(own), scores={
        str(percent): _spread([record['percent'][str(percent)][name] for record in own.values()])
        for percent in FRACTIONS})
    if variant != BASELINE:
        gains = [own[seed]['percent'][last][name] - base[seed]['percent'][last][name]
                 for seed in own.keys() & base.keys()]
        result['gain'] = dict(_spread(gains), pairs=len(gains))
    for instrument in _INSTRUMENTS:
        result[instrument] = {
            str(percent): _layers(own.values(), str(percent), instrument) for percent in FRACTIONS}
    return result


def _layers(records: Iterable[dict], percent: str, instrument: str) -> list[float]:
    """Mean over seeds, step by step."""
    values = [record['percent'][percent] for record in records]
    pattern = re.compile(rf'consistency/{instrument}_(\d+)')
    steps = sorted({int(match[1]) for one in values for match in map(pattern.fullmatch, one)
                    if match})
    return [round(statistics.fmean(
        one[f'consistency/{instrument}_{step}'] for one in values
        if f'consistency/{instrument}_{step}' in one), 4) for step in steps]


def _spread(values: Sequence[float]) -> dict:
    """Mean and standard deviation; None where there are too few."""
    return dict(mean=round(statistics.fmean(values), 3) if values else None,
                std=round(statistics.stdev(values), 3) if len(values) > 1 else None)


def table(found: dict) -> str:
    """Markdown: what the variants are, and a table a task."""
    if not found:
        raise UserError('there is no result yet. Do some runs first: mp_evidence.py run.')
    lines = ['| variant | change of the config |', '|---|---|']
    lines += [f'| {name} | `{described(change)}` |' for name, change in VARIANTS.items()]
    for task, variants in found.items():
        parts = ' | '.join(f'{percent} %' for percent in FRACTIONS)
        lines += ['', f'**{TASKS[task].label}** ({TASKS[task].iterations} iterations)', '',
                  f'| variant | seeds | {parts} | against Mask2Former | IoU | utilisation |',
                  '|---' * (len(FRACTIONS) + 5) + '|']
        lines += [_row(name, result) for name, result in variants.items()]
    return '\n'.join(lines) + '\n'


def _row(name: str, result: dict) -> str:
    last = str(FRACTIONS[-1])
    cells = [name, str(result['seeds']), *(_cell(result['scores'][str(p)]) for p in FRACTIONS),
             _gain(result.get('gain')),
             *(_mean(result[instrument][last]) for instrument in _INSTRUMENTS)]
    return f'| {" | ".join(cells)} |'


def _cell(spread: dict) -> str:
    std = '' if spread['std'] is None else f' ± {spread["std"]:.1f}'
    return '-' if spread['mean'] is None else f'{spread["mean"]:.1f}{std}'


def _gain(gain: dict | None) -> str:
    """Mean difference and its standard error."""
    if gain is None or gain['mean'] is None:
        return '-'
    error = '' if gain['std'] is None else f' ± {gain["std"] / gain["pairs"] ** 0.5:.1f}'
    return f'{gain["mean"]:+.1f}{error}'


def _mean(values: Sequence[float]) -> str:
    return f'{statistics.fmean(values):.2f}' if values else '-'


def into_page(page: Path, text: str) -> None:
    """Put the table between the two marks of a page.

    Raises:
        UserError: The page is missing or has no marks.
    """
    before = page.read_text() if page.is_file() else ''
    after, count = _MARKED.subn(lambda match: f'{match[1]}\n{text}\n{match[2]}', before)
    if count != 1:
        raise UserError(f'{page} needs a line <!-- evidence begins --> and, below it, a line '
                        '<!-- evidence ends -->: the table goes between them.')
    page.write_text(after)


def draw(found: dict, file: Path) -> None:
    """A column a task: scores over the budget, then both instruments over the layers."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(4.5 * len(found), 9.5), layout='constrained')
    grid = figure.subplots(3, len(found), squeeze=False)
    for column, (task, variants) in enumerate(found.items()):
        for name, result in variants.items():
            _draw_scores(grid[0, column], name, result)
            for row, instrument in enumerate(_INSTRUMENTS, 1):
                values = result[instrument][str(FRACTIONS[-1])]
                grid[row, column].plot(range(1, len(values) + 1), values, marker='o', ms=3,
                                       color=_colour(name))
        grid[0, column].set(title=TASKS[task].label, xlabel='percent of the budget')
        grid[0, column].legend(fontsize=8)
        for row, title in enumerate(_INSTRUMENTS.values(), 1):
            grid[row, column].set(xlabel='prediction', ylabel=title, ylim=(0, 1))
    for axes in grid.flat:
        axes.grid(alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=90)


def _draw_scores(axes: object, name: str, result: dict) -> None:
    """Means with their standard deviations as bars."""
    means = [result['scores'][str(percent)]['mean'] for percent in FRACTIONS]
    spreads = [result['scores'][str(percent)]['std'] or 0 for percent in FRACTIONS]
    axes.errorbar(FRACTIONS, means, yerr=spreads, marker='o', ms=3, capsize=2, label=name,
                  color=_colour(name))


def _colour(variant: str) -> str:
    """The same for every task, whatever has been run."""
    return f'C{list(VARIANTS).index(variant)}'
