"""What is read of a run: one unbroken, one resumed, one begun again, one of an older version."""

import json
from pathlib import Path

import pytest

from unimask.errors import UserError
from unimask.report.records import read_record


def write_part(run: Path, name: str, steps: range, *, first: int | None = 0,
               scored: tuple[int, ...] = (), value: float = 1.0, end: str = '') -> None:
    folder = run / name
    (folder / 'vis_data').mkdir(parents=True)
    entries = [dict(lr=0.1, loss=value, iter=step, step=step, time=1.0) for step in steps]
    entries += [dict({'a/b': value}, step=step, time=1.0) for step in scored]
    text = ''.join(json.dumps(entry) + '\n' for entry in entries)
    (folder / 'vis_data' / 'scalars.json').write_text(text + end)
    if first is not None:
        (folder / 'run.json').write_text(json.dumps(dict(first_step=first, config='own.py')))
        (folder / 'evaluations.json').write_text(''.join(
            json.dumps(dict(step=step, value=value)) + '\n' for step in scored))
    (folder / f'{name}.log').write_text(
        '2026/01/02 03:04:05 - mmengine - INFO - a\nno time\n2026/01/02 03:04:35 - x - INFO - b\n')


def steps(entries: list[dict]) -> list[int]:
    return [entry['step'] for entry in entries]


@pytest.mark.parametrize('first', [12, None])
def test_a_resumed_run(tmp_path: Path, first: int | None) -> None:
    """What the second part did again is taken from it; a line that was cut off is left out."""
    write_part(tmp_path, '20260102_030405', range(5, 21, 5), scored=(10, 20), end='{"loss": 3')
    write_part(tmp_path, '20260102_040000', range(15, 31, 5), first=first, scored=(20, 30),
               value=2.0)
    record = read_record(tmp_path)
    assert steps(record.losses) == [5, 10, 15, 20, 25, 30]
    assert [entry['loss'] for entry in record.losses] == [1, 1, 2, 2, 2, 2]
    assert record.scores == [{'step': 10, 'a/b': 1.0}, {'step': 20, 'a/b': 2.0},
                             {'step': 30, 'a/b': 2.0}]
    assert record.resumed == [12 if first else 14]
    if first:
        assert {step: each['value'] for step, each in record.evaluations.items()} == {
            10: 1.0, 20: 2.0, 30: 2.0}
    begun, ended = record.parts[0].times
    assert (ended - begun).seconds == 30


def test_a_run_that_was_begun_again(tmp_path: Path) -> None:
    write_part(tmp_path, '1', range(5, 21, 5), scored=(10,))
    write_part(tmp_path, '2', range(5, 11, 5), value=2.0)
    record = read_record(tmp_path)
    assert [entry['loss'] for entry in record.losses] == [2, 2]
    assert record.scores == [] and record.evaluations == {} and record.evaluation is None


def test_the_best_checkpoint_decides(tmp_path: Path) -> None:
    write_part(tmp_path, '1', range(5, 31, 5), scored=(10, 20, 30))
    assert read_record(tmp_path).evaluation['step'] == 30  # no checkpoint: the last one
    (tmp_path / 'iter_30.pth').touch()
    (tmp_path / 'best_a_b_iter_20.pth').touch()
    record = read_record(tmp_path)
    assert record.best.name == 'best_a_b_iter_20.pth'
    assert record.evaluation['step'] == 20
    assert record.checkpoint_of(30).name == 'iter_30.pth'
    assert record.checkpoint_of(10) is None


def test_the_config(tmp_path: Path) -> None:
    write_part(tmp_path, '1', range(5, 10))
    assert read_record(tmp_path).config is None
    (tmp_path / 'own.py').touch()
    (tmp_path / 'later.py').touch()
    assert read_record(tmp_path).config.name == 'own.py'


def test_no_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='there is no folder'):
        read_record(tmp_path / 'gone')
    (tmp_path / '1' / 'vis_data').mkdir(parents=True)
    (tmp_path / '1' / 'vis_data' / 'scalars.json').write_text('{"a/b": 1, "step": 0}\n')
    with pytest.raises(UserError, match='holds no training'):
        read_record(tmp_path)
