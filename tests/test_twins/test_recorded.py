"""The recorded numbers are those of the reference folder, and small."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from golden_tools import load_fill

RECORDED = Path(__file__).resolve().parents[1] / 'recorded'
CASES = sorted(path.stem for path in (RECORDED / 'goldens').glob('*.npz'))


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in RECORDED.rglob('*') if path.is_file()) < 2_000_000


@pytest.mark.parametrize('case', CASES)
def test_every_kind_of_number_is_recorded(case: str) -> None:
    info = json.loads((RECORDED / 'goldens' / f'{case}.json').read_text())
    keys = set(np.load(RECORDED / 'goldens' / f'{case}.npz').files)
    last = 5 if case.startswith('maskformer') else 9
    for images in ('pair', 'odd'):
        assert {f'{images}.backbone.res5', f'{images}.pixel_decoder.mask_features',
                f'{images}.pred_logits.{last}', f'{images}.pred_masks.0'} <= keys
        assert any(key.startswith(f'{images}.result0') for key in keys)
    main = 'published' if case.startswith('mpformer') else 'main'
    assert {main, 'one_empty', 'all_empty'} <= set(info['losses'])
    assert len(info['losses'][main]['grad_norms']) > 190


@pytest.mark.parametrize('case', CASES)
def test_arrays_are_those_of_the_goldens(case: str, goldens: Path) -> None:
    whole = json.loads((goldens / f'{case}.json').read_text())
    thin = json.loads((RECORDED / 'goldens' / f'{case}.json').read_text())
    assert thin['state_dict'] == whole['state_dict']
    for tag, part in thin['losses'].items():
        assert part.items() <= whole['losses'][tag].items()
    theirs, ours = (np.load(folder / f'{case}.npz') for folder in (goldens, RECORDED / 'goldens'))
    for key in ours.files:
        steps = thin['arrays'].get(key, {}).get('steps', [1] * ours[key].ndim)
        before = whole['arrays'].get(key, {}).get('steps', [1] * ours[key].ndim)
        cut = tuple(slice(None, None, step // old) for step, old in zip(steps, before, strict=True))
        assert np.array_equal(ours[key], theirs[key][cut]), key


def test_rules_are_those_of_the_goldens(goldens: Path) -> None:
    ours, theirs = load_fill(RECORDED / 'goldens'), load_fill(goldens)
    names = {}
    for case in CASES:
        info = json.loads((RECORDED / 'goldens' / f'{case}.json').read_text())
        for name, shape, *_ in info['state_dict']:
            names['.'.join(word for word in name.split('.') if not word.isdigit())] = name, shape
    for name, shape in names.values():  # one of every kind: all of them take a minute
        expected = theirs.fill(name, shape)
        assert expected is None or np.array_equal(ours.fill(name, shape), expected), name
    assert np.array_equal(ours.make_image(2, 101, 133), theirs.make_image(2, 101, 133))
    for kind in ('overlap', 'partition'):
        for mine, other in zip(ours.make_targets(kind, 3, 40, 50, 20, 5),
                               theirs.make_targets(kind, 3, 40, 50, 20, 5), strict=True):
            assert np.array_equal(mine, other)
    for mine, other in zip(ours.make_predictions(7, 30, 20, 24, 32, [0, 1]),
                           theirs.make_predictions(7, 30, 20, 24, 32, [0, 1]), strict=True):
        assert np.array_equal(mine, other)


def test_listings_are_those_of_the_zoo(zoo: Path) -> None:
    own = RECORDED / 'zoo'
    with (own / 'index.csv').open() as file, (zoo / 'index.csv').open() as full:
        rows, every = list(csv.DictReader(file)), list(csv.DictReader(full))
    assert all(row in every for row in rows)
    for row in rows[::8]:
        name = f'{row["hash"]}.json.gz'
        with gzip.open(own / name) as ours, gzip.open(zoo / name) as theirs:
            assert json.load(ours) == json.load(theirs)
    assert all((own / f'{row["hash"]}.json.gz').is_file() for row in rows)
