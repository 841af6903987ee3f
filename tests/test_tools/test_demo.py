"""The demo: data, training, scores, pictures and report by one command, twice."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from tests.test_tools.conftest import ROOT
from unimask.cli import run_tool

OUTPUTS = ('report.html', 'summary.json', 'pictures/000001.png')


def demo(monkeypatch: pytest.MonkeyPatch, folder: Path, steps: int = 3) -> int:
    """Exit status of the demo with a few scenes and steps."""
    words = ('--work-dir', folder / 'run', '--data-root', folder / 'data', '--iters', steps,
             '--scenes', 8, 2, '--pictures', 1, '--seed', 7)
    monkeypatch.setattr(sys, 'argv', ['demo.py', *map(str, words)])
    monkeypatch.syspath_prepend(str(ROOT / 'tools/misc'))
    return run_tool(runpy.run_path(str(ROOT / 'tools/misc/demo.py'))['main'])


@pytest.mark.slow
def test_everything_is_written_and_a_second_run_trains_no_more(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    assert demo(monkeypatch, tmp_path) == 0
    run = tmp_path / 'run'
    assert all((run / name).is_file() for name in OUTPUTS)
    first = json.loads((run / 'summary.json').read_text())
    assert first['iterations'] == 3 and first['scores'].keys() >= {
        'panoptic/PQ', 'instance/AP', 'semantic/mIoU'}
    *_, where, following = capsys.readouterr().out.strip().splitlines()
    assert str(run / 'report.html') in where
    assert 'train --data FOLDER --out RUN' in following
    assert any('randomness = dict(seed=7)' in file.read_text() for file in run.glob('*.py'))
    weights = (run / 'iter_3.pth').read_bytes()

    assert demo(monkeypatch, tmp_path) == 0
    assert (run / 'iter_3.pth').read_bytes() == weights
    assert json.loads((run / 'summary.json').read_text())['scores'] == pytest.approx(
        first['scores'])
    assert 'NaN' not in (run / 'summary.json').read_text()

    capsys.readouterr()
    assert demo(monkeypatch, tmp_path, steps=2) == 2
    assert '--fresh begins again' in capsys.readouterr().err
