#!/usr/bin/env python
"""Write the tables of methods and configs, which say what the metafiles say.

The README of the repository has one row per method, that of a method one row per config. A table
stands between two comments; a README without them is left alone. With --check nothing is written,
and the exit status is 1 where a table is out of date.

Example:
    python tools/misc/config_tables.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
BEGIN = '<!-- {name}: written by tools/misc/config_tables.py -->'
END = '<!-- end of {name} -->'
# What the first part of a config's name stands for: family and member.
BACKBONES = {
    'r50': ('ResNet', '50'), 'r101': ('ResNet', '101'), 'r101c': ('ResNet', '101c'),
    'swin-t': ('Swin', 'T'), 'swin-s': ('Swin', 'S'), 'swin-b': ('Swin', 'B'),
    'swin-b-in1k': ('Swin', 'B'), 'swin-l': ('Swin', 'L'),
    **{f'mit-b{size}': ('MiT', f'B{size}') for size in range(6)},
}
# Columns of the methods' tables: heading, key in `Metadata`, form.
COLUMNS = (
    ('total batch', 'Batch Size', '{}'),
    ('iterations', 'Training Iterations', '{}'),
    ('queries', 'Queries', '{}'),
    ('trainable parameters', 'Trainable Parameters', '{:.2f} M'),
)


def main() -> int:
    """Write or check all tables.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing, only compare')
    check = parser.parse_args().check
    stale = {path: text for path, text in updated(ROOT)
             if path.read_text(encoding='utf-8') != text}
    for path, text in stale.items():
        print(f'{path.relative_to(ROOT)} {"is out of date" if check else "was updated"}')
        if not check:
            path.write_text(text, encoding='utf-8')
    return int(check and bool(stale))


def updated(root: Path) -> Iterator[tuple[Path, str]]:
    """Files with tables, and what they should hold.

    Args:
        root: Folder with README.md and configs/.
    """
    metafiles = {path.parent: yaml.safe_load(path.read_text(encoding='utf-8'))
                 for path in sorted(root.glob('configs/*/metafile.yml'))}
    yield from _with_table(root / 'README.md', 'methods', method_table(metafiles.values()))
    for folder, metafile in metafiles.items():
        yield from _with_table(folder / 'README.md', 'configs', config_tables(metafile))


def _with_table(path: Path, name: str, table: str) -> Iterator[tuple[Path, str]]:
    text = path.read_text(encoding='utf-8')
    begin, end = BEGIN.format(name=name), END.format(name=name)
    if begin in text and end in text:
        before, _, rest = text.partition(begin)
        yield path, f'{before}{begin}\n\n{table}\n{end}{rest.partition(end)[2]}'


def method_table(metafiles: Iterable[dict]) -> str:
    """One row per method: how many configs, backbones, data sets with their tasks."""
    lines = ['| method | configs | backbones | data sets |', '|---|---|---|---|']
    for metafile in metafiles:
        (collection,), models = metafile['Collections'], metafile['Models']
        summary = f': {collection["Summary"]}' if 'Summary' in collection else ''
        lines.append(f'| [{collection["Name"]}]({collection["README"]}){summary} | {len(models)} '
                     f'| {_backbones(models)} | {_data(models)} |')
    return '\n'.join(lines) + '\n'


def _backbones(models: list[dict]) -> str:
    members: dict[str, list[str]] = {}
    for model in models:
        name = Path(model['Config']).stem.split('_')[0].removeprefix('timm-')
        plain = name.removeprefix('semask-')
        family, member = BACKBONES.get(plain) or (plain, '')
        family = family if name == plain else f'SeMask {family}'
        if member not in members.setdefault(family, []):
            members[family].append(member)
    order = [member for _, member in BACKBONES.values()]
    return ', '.join(
        ', '.join([f'{family}-{first}' if first else family, *(f'-{each}' for each in rest)])
        for family, (first, *rest) in (
            (family, sorted(found, key=lambda each: order.index(each) if each in order else -1))
            for family, found in members.items()))


def _data(models: list[dict]) -> str:
    tasks: dict[str, list[str]] = {}
    for model in models:
        found = tasks.setdefault(model['Metadata']['Training Data'], [])
        found.extend(task for task in _tasks(model) if task not in found)
    return ', '.join(f'{data} ({", ".join(found)})' for data, found in tasks.items())


def _tasks(model: dict) -> list[str]:
    """Those of the results; without a result the name says it, the default being semantic."""
    results = [result['Task'].split()[0].lower() for result in model.get('Results', ())]
    words = Path(model['Config']).stem.rpartition('_')[2].split('-')
    return results or [task for task in ('instance', 'panoptic') if task in words] or ['semantic']


def config_tables(metafile: dict) -> str:
    """A heading and a table for every data set and task, in the order of the metafile."""
    groups: dict[str, list[dict]] = {}
    for model in metafile['Models']:
        title = ', '.join([model['Metadata']['Training Data'], *_tasks(model)])
        groups.setdefault(title, []).append(model)
    return '\n'.join(f'### {title}\n\n{_config_table(models)}' for title, models in groups.items())


def _config_table(models: list[dict]) -> str:
    columns = [column for column in COLUMNS
               if any(column[1] in model['Metadata'] for model in models)]
    scores = list(dict.fromkeys(name for model in models for name in _scores(model)))
    head = ['config', *(title for title, _, _ in columns), *scores]
    lines = []
    for model in models:
        stem, found = Path(model['Config']).stem, _scores(model)
        lines.append([f'[`{stem}`]({stem}.py)', *(_cell(model, *each[1:]) for each in columns),
                      *(str(found.get(name, '')) for name in scores)])
    return ''.join([_row(head), '|---' * len(head), '|\n', *map(_row, lines)])


def _row(cells: list[str]) -> str:
    return f'| {" | ".join(cells)} |\n'


def _scores(model: dict) -> dict[str, float]:
    return {name: value for result in model.get('Results', ())
            for name, value in result['Metrics'].items()}


def _cell(model: dict, key: str, form: str) -> str:
    value = model['Metadata'].get(key, '')
    return form.format(value / 1e6 if 'M' in form else value) if value != '' else ''


if __name__ == '__main__':
    sys.exit(main())
