"""The page about a training, of a very short one."""

import json
import logging
import re
import shutil
import sys
from pathlib import Path

import own_folders as folders
import pytest

from tests.test_tools.conftest import ROOT
from unimask.own_data.training import train
from unimask.report import curves, read_record, report_after, write_report, writing

pytestmark = pytest.mark.slow  # a training

FETCHED = re.compile(r'(?:src|href)="(?!data:)|url\(|@import|<script')


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps, an evaluation after each."""
    root = tmp_path_factory.mktemp('report')
    train(folders.yolo(root / 'own'), root / 'run', iterations=2, weights=None, seed=1)
    return root / 'run'


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / 'run'))


def test_the_page_of_a_training(trained: Path) -> None:
    text = (trained / 'report.html').read_text()
    assert not FETCHED.search(text)
    for said in ('config.py', '5 pictures, 10 objects, 2 classes', '1 pictures, 1 objects',
                 '2 steps', 'unimask 0.', 'instance/AP50', '<h3>instance</h3>'):
        assert said in text, said
    assert text.count('data:image/svg+xml') == 1
    assert text.count('data:image/jpeg') == 1  # one picture for validation
    assert 'scene 5.jpg</figcaption>' in text
    rows = re.findall(r'<tr><td>(disk|square)</td><td>(\d)</td>', text)
    assert rows == [('disk', '1'), ('square', '0')]  # the worst first, without objects last


def test_what_is_noted(trained: Path) -> None:
    record = read_record(trained)
    assert record.told['data']['train']['images'] == 5
    assert record.told['steps'] == 2 and record.told['batch'] == 2
    assert sorted(record.evaluations) == [1, 2]
    picture, = record.evaluations[2]['worst']['pictures']
    assert picture['index'] == 0 and picture['path'].endswith('scene 5.jpg')


def test_without_data_and_checkpoints(run: Path) -> None:
    """The numbers are still told."""
    for file in (*run.glob('*.pth'), run / 'last_checkpoint'):
        file.unlink()
    text = write_report(run).read_text()
    assert 'not there any more' in text
    assert 'data:image/jpeg' not in text and 'instance/AP50' in text
    text = write_report(run, run / 'new' / 'page.html', pictures=0).read_text()
    assert 'Not wanted' in text


def test_pictures_that_cannot_be_drawn(run: Path) -> None:
    config = run / 'config.py'
    config.write_text(config.read_text().replace('instance_val.json', 'gone.json'))
    text = write_report(run).read_text()
    assert 'could not be drawn' in text and 'gone.json' in text
    assert 'data:image/svg+xml' in text


def test_classes_of_an_older_run(run: Path, monkeypatch: pytest.MonkeyPatch,
                                 capfd: pytest.CaptureFixture) -> None:
    """Its evaluations noted nothing; the command evaluates once more."""
    def command(*words: object) -> tuple[int, str]:
        from unimask.cli import run_tool
        path = ROOT / 'tools/analysis_tools/report.py'
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, words)])
        module: dict = dict(__name__='tool')
        exec(compile(path.read_text(), str(path), 'exec'), module)
        status, said = run_tool(module['main']), capfd.readouterr()
        return status, said.out + said.err

    for file in run.rglob('evaluations.json'):
        file.unlink()
    status, said = command(run)
    assert status == 0 and 'report.html' in said
    assert '--evaluate' in (run / 'report.html').read_text()
    status, _ = command(run, '--evaluate')
    assert status == 0
    assert '<h3>instance</h3>' in (run / 'report.html').read_text()
    status, said = command(run.parent / 'gone')
    assert status == 2 and 'there is no folder' in said
    status, said = command(run, '--pictures', -1)
    assert status == 2 and '--pictures is -1' in said


def test_an_error_does_not_spoil_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              caplog: pytest.LogCaptureFixture) -> None:
    told = []

    def fail(run: Path) -> Path:
        raise RuntimeError('no page today')
    monkeypatch.setattr(writing, 'write_report', fail)
    monkeypatch.setattr(writing, 'print_log', lambda text, logger, level=logging.INFO:
                        told.append((level, text)))
    report_after(tmp_path)
    assert not told  # no training that wants one
    (tmp_path / '1').mkdir()
    (tmp_path / '1' / 'run.json').touch()
    report_after(tmp_path)
    (level, text), = told
    assert level == logging.WARNING and 'no page today' in text
    assert f'unimask report {tmp_path}' in text


class TestCurves:

    def write(self, run: Path, count: int) -> None:
        (run / '1' / 'vis_data').mkdir(parents=True)
        (run / '1' / 'vis_data' / 'scalars.json').write_text(''.join(json.dumps({
            'lr': 0.1, 'base_lr': 0.1, 'loss': 3.0, 'loss_cls': 1.0, 'd0.loss_cls': 2.0,
            'step': step}) + '\n' for step in range(1, count + 1))
            + '{"x/PQ": 4, "x/SQ": 5, "y/AP": NaN, "step": 3}\n')

    def drawn(self, run: Path) -> dict[str, list[str]]:
        figure = curves.draw_curves(read_record(run))
        return {axes.get_title(loc='left'): [line.get_label() for line in axes.lines
                                             if not line.get_label().startswith('_')]
                for axes in figure.axes}

    @pytest.mark.parametrize('count', [3, 1000])
    def test_panels(self, tmp_path: Path, count: int) -> None:
        self.write(tmp_path, count)
        assert self.drawn(tmp_path) == {
            'loss': ['loss'], 'loss terms of the last prediction': ['loss_cls'],
            'learning rate': ['lr'], 'scores': ['x/PQ']}
        figure = curves.draw_curves(read_record(tmp_path))
        assert len(figure.axes[0].lines[0].get_xdata()) == min(count, 400)
        assert b'learning rate' in curves.as_svg(figure)  # letters stay letters

    def test_nothing_was_logged(self, tmp_path: Path) -> None:
        (tmp_path / '1').mkdir()
        (tmp_path / '1' / 'run.json').write_text('{"first_step": 0}')
        assert curves.draw_curves(read_record(tmp_path)) is None
        assert 'There was no evaluation' in write_report(tmp_path).read_text()
