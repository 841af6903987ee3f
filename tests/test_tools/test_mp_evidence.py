"""tools/analysis_tools/mp_evidence.py: the plan, doing and resuming runs, table and picture."""

import importlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.test_tools.conftest import ROOT, SMALL
from unimask.errors import UserError
from unimask.preflight import load_config, prepare_config

TOOL = ROOT / 'tools/analysis_tools/mp_evidence.py'
SCORES = {'camvid': 'semantic/mIoU', 'pennfudan': 'instance/AP', 'coco_mini27': 'panoptic/PQ'}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOL.parent))


def load(name: str) -> object:
    return importlib.import_module(f'evidence.{name}')


def study() -> object:
    return load('mp_former').STUDY


def runs(**changes: object) -> list:
    return list(load('plan').plan(study(), **{
        'tasks': list(study().tasks), 'variants': list(study().meanings), 'seeds': 2, **changes}))


def options_of(run: object) -> dict:
    return dict(max_iters=8)


def write_log(folder: Path, name: str, entries: list[dict]) -> None:
    file = folder / name / 'vis_data/scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(json.dumps(entry) + '\n' for entry in entries))


def pretend(run: object, options: Mapping, folder: Path) -> None:
    """Stands for a training: scores rise with the iteration and the seed."""
    write_log(folder, '1', [
        {'loss': 3.0, 'step': 1},
        *({SCORES[run.task]: 10.0 * step + run.seed, 'semantic/IoU_road': 1.0, 'step': step}
          for step in (2, 4, 8)),
        *({'consistency/iou_1': step / 10, 'consistency/utilisation_1': 0.5, 'step': step}
          for step in (2, 4, 8))])


def series(tmp_path: Path, chosen: list, train: Callable = pretend, **changes: object) -> int:
    return load('running').run_all(chosen, results=tmp_path / 'results', work=tmp_path / 'work',
                                   train=train, options_of=options_of, **changes)


def test_seed_by_seed_and_every_name_once() -> None:
    all_runs = runs()
    assert [run.seed for run in all_runs] == [0] * 18 + [1] * 18
    assert len({run.name for run in all_runs}) == 36
    assert set(Counter((run.task, run.variant) for run in all_runs).values()) == {2}


@pytest.mark.slow
def test_every_run_has_a_config_that_holds(shared_data: Path) -> None:
    plan = load('plan')
    for run in [*runs(seeds=1, tasks=['camvid']), *runs(seeds=1, variants=['mp-former'])]:
        options = plan.options(run, data=shared_data, weights=next(
            (shared_data / 'weights').glob('*.pth')))
        parser = importlib.import_module('argparse').ArgumentParser()
        from unimask.cli import ConfigOptions
        parser.add_argument('--o', nargs='+', action=ConfigOptions)
        read = parser.parse_args(['--o', *(f'{key}={value}' for key, value in options.items())]).o
        task = run.what
        cfg = prepare_config(load_config(ROOT / 'configs' / task.config, read))
        assert task.iterations % 4 == 0 and cfg.train_cfg.max_iters == task.iterations
        piloted = run.variant.startswith('mp-former')
        assert cfg.model.head.type == ('MaskPilotedHead' if piloted else 'Mask2FormerHead')
        assert cfg.model.head.num_queries == 30 and cfg.model.head.channels == 128
        assert cfg.val_dataloader.dataset.pipeline[1].short_edge == task.short_edge
        assert cfg.custom_hooks[0].type == 'LayerConsistencyHook'


def test_what_has_a_result_is_not_done_again(tmp_path: Path) -> None:
    chosen, seen = runs(seeds=1), []

    def train(run: object, options: Mapping, folder: Path) -> None:
        seen.append(run.name)
        pretend(run, options, folder)
    assert series(tmp_path, chosen, train, limit=2) == 2
    assert series(tmp_path, chosen, train) == len(chosen) - 2
    assert series(tmp_path, chosen, train) == 0
    assert seen == [run.name for run in chosen]
    record = json.loads((tmp_path / f'results/{chosen[0].name}.json').read_text())
    assert record['percent']['50'] == {
        'semantic/mIoU': 40.0, 'consistency/iou_1': 0.4, 'consistency/utilisation_1': 0.5}
    assert record['iterations'] == 8 and record['override'] == 'as the config is'
    assert list((tmp_path / 'work').iterdir()) == []


def test_an_interrupted_series_keeps_what_it_has(tmp_path: Path) -> None:
    chosen = runs(seeds=1)[:3]

    def train(run: object, options: Mapping, folder: Path) -> None:
        if run == chosen[1]:
            write_log(folder, '1', [{'semantic/mIoU': 5.0, 'step': 2}])
            (folder / 'last_checkpoint').write_text('iter_3.pth')
            raise KeyboardInterrupt
        pretend(run, options, folder)
    with pytest.raises(KeyboardInterrupt):
        series(tmp_path, chosen, train)
    assert [file.stem for file in (tmp_path / 'results').iterdir()] == [chosen[0].name]
    folder = tmp_path / 'work' / chosen[1].name
    assert '--resume' in load('running').command(chosen[1], {}, folder)
    write_log(folder, '2', [{'semantic/mIoU': 6.0, 'step': step} for step in (4, 8)])
    assert load('running').read_scores(folder, 'consistency/') == {
        2: {'semantic/mIoU': 5.0}, 4: {'semantic/mIoU': 6.0}, 8: {'semantic/mIoU': 6.0}}


@pytest.mark.parametrize(('checkpoint', 'goes_on'), [
    (None, False), ('iter_3.pth', True), ('/a/iter_1.pth', True),
    ('iter_4.pth', False)])  # stopped in the evaluation of iteration 4
def test_a_run_goes_on_only_if_no_score_is_missing(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: str | None,
        goes_on: bool) -> None:
    write_log(tmp_path, '1', [{'semantic/mIoU': 5.0, 'step': 2}])
    if checkpoint:
        (tmp_path / 'last_checkpoint').write_text(checkpoint)
    children(monkeypatch, 'raise SystemExit(130)')
    with pytest.raises(KeyboardInterrupt):
        load('running').train(runs()[0], dict(max_iters=8), tmp_path)
    assert (load('running').read_scores(tmp_path) != {}) == goes_on


def test_a_run_without_its_scores_is_an_error(tmp_path: Path) -> None:
    def train(run: object, options: Mapping, folder: Path) -> None:
        write_log(folder, '1', [{'semantic/mIoU': 1.0, 'step': 2}])
    with pytest.raises(UserError, match='has no semantic/mIoU at iteration 4'):
        series(tmp_path, runs()[:1], train)
    assert list((tmp_path / 'results').iterdir()) == []


CHILD = """
import pathlib, signal, sys, time
def stop(*_):
    pathlib.Path('last_checkpoint').write_text('iter_3.pth')
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print('begun', flush=True)
time.sleep(60)
"""


def children(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let runs be this script, called in their folder."""
    running = load('running')
    monkeypatch.setattr(running, 'command', lambda run, options, folder: [
        sys.executable, '-c', f'import os; os.chdir({str(folder)!r})\n{script}'])


def test_ctrl_c_lets_the_training_write_a_checkpoint(tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(subprocess.Popen):
        waits = 0

        def wait(self, timeout: float | None = None) -> int:
            self.waits += 1
            if self.waits > 1:
                return super().wait(timeout)
            while 'begun' not in (tmp_path / 'output.txt').read_text() and self.poll() is None:
                time.sleep(0.01)
            raise KeyboardInterrupt
    children(monkeypatch, CHILD)
    monkeypatch.setattr(subprocess, 'Popen', Stopped)
    with pytest.raises(KeyboardInterrupt):
        load('running').train(runs()[0], dict(max_iters=8), tmp_path)
    assert (tmp_path / 'last_checkpoint').is_file()


@pytest.mark.parametrize(('script', 'error', 'said'), [
    ("print('x\\nerror: no data\\nthere\\n'); raise SystemExit(2)", UserError,
     r'failed \(status 2\); .*output.txt says why: error: no data there'),
    ('raise SystemExit(1)', UserError, 'it is empty'),
    # A signal to the training alone: it ends well, but too early.
    ('pass', KeyboardInterrupt, ''), ('raise SystemExit(130)', KeyboardInterrupt, '')])
def test_how_a_training_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str,
                             error: type, said: str) -> None:
    children(monkeypatch, script)
    with pytest.raises(error, match=said or None):
        load('running').train(runs()[0], dict(max_iters=8), tmp_path)


@pytest.mark.slow
def test_a_real_run(shapes: Path, tmp_path: Path) -> None:
    running, task = load('running'), study().tasks['camvid']
    shown = replace(study(), tasks=dict(camvid=replace(task, config='demo/mask2former_shapes.py')))
    run = replace(runs()[0], study=shown)
    options = {**SMALL, 'data_root': shapes, 'max_iters': 4, 'train_cfg.val_interval': 1,
               'train_cfg.dynamic_intervals': [(3, 2)],
               'custom_hooks': "[dict(type='LayerConsistencyHook', num_images=1)]"}
    assert running.run_all([run], results=tmp_path / 'results', work=tmp_path / 'work',
                           train=running.train, options_of=lambda run: options) == 1
    record = json.loads((tmp_path / f'results/{run.name}.json').read_text())
    assert list(record['percent']) == ['25', '50', '100']
    assert all({'semantic/mIoU', 'consistency/utilisation'} <= values.keys()
               for values in record['percent'].values())
    assert list((tmp_path / 'work').iterdir()) == []


def record(task: str, variant: str, seed: int, scores: tuple, **steps: float) -> dict:
    return dict(task=task, variant=variant, seed=seed, percent={
        percent: {SCORES[task]: score, **{f'consistency/{k}': v for k, v in steps.items()}}
        for percent, score in zip(('25', '50', '100'), scores, strict=True)})


RECORDS = [
    record('camvid', 'mask2former', 0, (10, 20, 30), iou_1=0.2, iou_2=0.4, utilisation_1=0.5),
    record('camvid', 'mask2former', 1, (14, 20, 34), iou_1=0.4, iou_2=0.6, utilisation_1=0.7),
    record('camvid', 'mp-former', 0, (11, 21, 32), iou_1=0.5, utilisation_1=0.8),
    record('camvid', 'mp-former', 1, (11, 21, 40), iou_2=0.7, utilisation_1=0.8),
    record('camvid', 'mp-former', 2, (11, 21, 90), iou_1=0.5, utilisation_1=0.8),
    record('pennfudan', 'mask2former', 0, (1, 2, 3)),
]


def test_means_spreads_and_paired_gains() -> None:
    found = load('report').summary(study(), RECORDS)
    assert list(found) == ['camvid', 'pennfudan']
    base, piloted = found['camvid']['mask2former'], found['camvid']['mp-former']
    assert base['scores']['25'] == dict(mean=12, std=pytest.approx(2.828))
    assert base['iou']['100'] == [0.3, 0.5] and base['utilisation']['25'] == [0.6]
    assert (base['seeds'], piloted['seeds'], 'gain' in base) == (2, 3, False)
    # Seed 2 has no partner: the differences are 2 and 6.
    assert piloted['gain'] == dict(mean=4, std=pytest.approx(2.828), pairs=2)
    assert piloted['iou']['100'] == [0.5, 0.7]
    assert found['pennfudan']['mask2former']['scores']['100'] == dict(mean=3, std=None)


def test_table_and_page(tmp_path: Path) -> None:
    report = load('report')
    text = report.table(study(), report.summary(study(), RECORDS))
    assert ('| mask2former | 2 | 12.0 ± 2.8 | 20.0 ± 0.0 | 32.0 ± 2.8 | - | 0.40 | 0.60 |'
            in text)
    assert '| +4.0 ± 2.0 |' in text and '| mask2former | 1 | 1.0 | 2.0 | 3.0 | - | - | - |' in text
    assert "`model.head=dict(type='MaskPilotedHead')`" in text
    page = tmp_path / 'page.md'
    page.write_text('before\n<!-- evidence begins -->\nold\n<!-- evidence ends -->\nafter\n')
    report.into_page(page, text)
    report.into_page(page, text)
    assert page.read_text() == (
        f'before\n<!-- evidence begins -->\n\n{text}\n<!-- evidence ends -->\nafter\n')
    page.write_text('nothing')
    with pytest.raises(UserError, match='evidence begins'):
        report.into_page(page, text)
    with pytest.raises(UserError, match='no result yet'):
        report.table(study(), {})


def call(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, TOOL, *map(str, words)], cwd=ROOT, text=True,
                          capture_output=True)


@pytest.mark.slow
def test_report_command(tmp_path: Path) -> None:
    for number, one in enumerate(RECORDS):
        file = tmp_path / f'results/{number}.json'
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(one))
    done = call('report', '--results', tmp_path / 'results', '--summary', tmp_path / 'all.json',
                '--plot', tmp_path / 'plot.png')
    assert done.returncode == 0, done.stderr
    assert 'CamVid semantic, mIoU' in done.stdout
    assert json.loads((tmp_path / 'all.json').read_text())['camvid']['mp-former']['seeds'] == 3
    assert (tmp_path / 'plot.png').read_bytes().startswith(b'\x89PNG')
    (tmp_path / 'results/x.json').write_text('{}')
    with pytest.raises(UserError, match='is not the result of a run'):
        list(load('running').read_results(study(), tmp_path / 'results'))


@pytest.mark.parametrize(('words', 'said'), [
    (['run', '--data', 'nowhere'], 'nowhere/camvid has no folder images'),
    (['run', '--limit', 0], '--limit must be at least 1'),
    (['report', '--results', 'nowhere'], '--results nowhere is no folder')])
def test_mistakes_are_one_message(words: list, said: str, monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture) -> None:
    from unimask.cli import run_tool
    tool = importlib.import_module('mp_evidence')
    monkeypatch.setattr(sys, 'argv', ['mp_evidence.py', *map(str, words)])
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run_tool(tool.main) == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    assert said in capsys.readouterr().err
