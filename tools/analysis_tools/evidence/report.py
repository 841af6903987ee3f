"""What is made of the results of a study: a table, a summary and a picture."""

from __future__ import annotations

import re
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evidence.plan import FRACTIONS, Study
from unimask.errors import UserError

__all__ = ['draw', 'into_page', 'summary', 'table']

LAST = str(FRACTIONS[-1])
TITLE = 40  # letters of a line of a title
_MARKED = re.compile(r'(<!-- evidence begins -->\n).*?(<!-- evidence ends -->)', re.DOTALL)


def summary(study: Study, records: Iterable[dict]) -> dict:
    """Task -> variant -> mean and standard deviation over seeds at every part of the budget.

    ``gain`` is the mean of the differences to the first baseline with the same seed at the end,
    with the standard deviation and the number of the differences; ``gain_to`` those to further
    baselines, by their names.
    """
    records = list(records)
    found: dict = {}
    for task in study.tasks:
        own = [record for record in records if record['task'] == task]
        if own:
            found[task] = {variant: _variant(study, own, task, variant)
                           for variant in study.meanings
                           if any(record['variant'] == variant for record in own)}
    return found


def _variant(study: Study, records: Sequence[dict], task: str, variant: str) -> dict:
    score = study.tasks[task].score
    own = _by_seed(records, variant)
    result: dict = dict(seeds=len(own), scores={
        str(percent): _spread([record['percent'][str(percent)][score] for record in own.values()])
        for percent in FRACTIONS})
    first, *others = study.baselines
    if variant != first:
        result['gain'] = _gains(own, _by_seed(records, first), score)
    if further := {name: _gains(own, _by_seed(records, name), score)
                   for name in others if name != variant}:
        result['gain_to'] = further
    for name in study.instruments:
        result[name] = {str(percent): _places(own.values(), str(percent), study.prefix + name)
                        for percent in FRACTIONS}
    return result


def _by_seed(records: Iterable[dict], variant: str) -> dict[int, dict]:
    return {record['seed']: record for record in records if record['variant'] == variant}


def _gains(own: Mapping[int, dict], base: Mapping[int, dict], score: str) -> dict:
    gains = [own[seed]['percent'][LAST][score] - base[seed]['percent'][LAST][score]
             for seed in own.keys() & base.keys()]
    return dict(_spread(gains), pairs=len(gains))


def _places(records: Iterable[dict], percent: str, name: str) -> list[float]:
    """Mean over seeds of an instrument's values, one after the other."""
    values = [record['percent'][percent] for record in records]
    pattern = re.compile(rf'{name}_(\d+)')
    places = sorted({int(match[1]) for one in values for match in map(pattern.fullmatch, one)
                     if match})
    return [round(statistics.fmean(one[f'{name}_{place}'] for one in values
                                   if f'{name}_{place}' in one), 4) for place in places]


def _spread(values: Sequence[float]) -> dict:
    """Mean and standard deviation; None where there are too few."""
    return dict(mean=round(statistics.fmean(values), 3) if values else None,
                std=round(statistics.stdev(values), 3) if len(values) > 1 else None)


def table(study: Study, found: dict) -> str:
    """Markdown: what the variants are, and a table a task."""
    if not found:
        raise UserError(f'there is no result yet. Do some runs first: {study.tool} run.')
    lines = [f'| variant | {study.heading} |', '|---|---|']
    lines += [f'| {name} | {meaning} |' for name, meaning in study.meanings.items()]
    head = ['variant', 'seeds', *(f'{percent} %' for percent in FRACTIONS),
            *study.baselines.values(), *(each.column for each in study.instruments.values())]
    for task, variants in found.items():
        what = study.tasks[task]
        lines += ['', f'**{what.label}** ({what.iterations} iterations)', '',
                  f'| {" | ".join(head)} |', '|---' * len(head) + '|']
        lines += [_row(study, name, result) for name, result in variants.items()]
    return '\n'.join(lines) + '\n'


def _row(study: Study, name: str, result: dict) -> str:
    first, *others = study.baselines
    gains = [result.get('gain'), *(result.get('gain_to', {}).get(other) for other in others)]
    cells = [name, str(result['seeds']), *(_cell(result['scores'][str(p)]) for p in FRACTIONS),
             *map(_gain, gains), *(_mean(result[each][LAST], instrument.digits)
                                   for each, instrument in study.instruments.items())]
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


def _mean(values: Sequence[float], digits: int) -> str:
    return f'{statistics.fmean(values):.{digits}f}' if values else '-'


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


def draw(study: Study, found: dict, file: Path) -> None:
    """A column a task: scores over the budget, then the instruments."""
    from matplotlib.figure import Figure
    rows = 1 + len(study.instruments)
    figure = Figure(figsize=(4.5 * len(found), 0.5 + 3 * rows), layout='constrained')
    grid = figure.subplots(rows, len(found), squeeze=False)
    for column, (task, variants) in enumerate(found.items()):
        _draw_scores(study, grid[0, column], variants)
        grid[0, column].set(title=textwrap.fill(study.tasks[task].label, TITLE),
                            xlabel='percent of the budget')
        for axes, name in zip(grid[1:, column], study.instruments, strict=True):
            _draw_instrument(study, axes, name, variants)
    for axes in grid.flat:
        axes.grid(alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=90)


def _draw_scores(study: Study, axes: object, variants: dict) -> None:
    """Means with their standard deviations as bars."""
    for name, result in variants.items():
        parts = [result['scores'][str(percent)] for percent in FRACTIONS]
        axes.errorbar(FRACTIONS, [part['mean'] for part in parts],
                      yerr=[part['std'] or 0 for part in parts], marker='o', ms=3, capsize=2,
                      label=name, color=_colour(study, name))
    axes.legend(fontsize=8)


def _draw_instrument(study: Study, axes: object, name: str, variants: dict) -> None:
    """Its values at the end, over their places."""
    for variant, result in variants.items():
        values = result[name][LAST]
        axes.plot(range(1, len(values) + 1), values, marker='o', ms=3,
                  color=_colour(study, variant))
    instrument = study.instruments[name]
    axes.set(xlabel=instrument.place, ylabel=instrument.title, ylim=instrument.limits)


def _colour(study: Study, variant: str) -> str:
    """The same for every task, whatever has been run."""
    return f'C{list(study.meanings).index(variant)}'
