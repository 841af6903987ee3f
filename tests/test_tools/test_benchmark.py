"""The benchmark's parts, one whole small run, and the counting tool."""

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

TOOLS = Path(__file__).parents[2] / 'tools/analysis_tools'


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))


def load(name: str) -> ModuleType:
    """A module of the benchmark."""
    return importlib.import_module(f'bench.{name}')


def test_segments_cover_the_image_without_overlap() -> None:
    work = load('workload').make_workload(size=64, batch=2, objects=7, seed=0)
    for index in range(2):
        masks = work.masks(index)
        assert masks.shape == (7, 64, 64) and masks.flatten(1).any(dim=1).all()
        assert (masks.sum(dim=0) == 1).all()
        stuff = work.labels[index][work.labels[index] >= 80]
        assert len(stuff) == 3 == len(stuff.unique())
    again = load('workload').make_workload(size=64, batch=2, objects=7, seed=0)
    assert torch.equal(work.images, again.images)


def test_part_clock_counts_exclusively_and_restores() -> None:
    parts = load('parts')

    class Inner:
        def work(self) -> int:
            time.sleep(0.05)
            return 3

    inner = Inner()
    clock = parts.PartClock(torch.device('cpu'))
    with clock.watching([parts.Part('inner', inner, 'work')]), clock.running('outer'):
        time.sleep(0.02)
        assert inner.work() == 3
    assert 0.05 <= clock.seconds['inner'] < 0.5
    assert 0.02 <= clock.seconds['outer'] < 0.5
    assert 'work' not in vars(inner)


def test_part_clock_restores_an_attribute_of_the_object_itself() -> None:
    parts = load('parts')
    holder = nn.Module()
    holder.function = matcher = lambda: 5
    clock = parts.PartClock(torch.device('cpu'))
    with clock.watching([parts.Part('function', holder, 'function')]):
        assert holder.function() == 5
    assert holder.function is matcher and clock.seconds['function'] > 0


@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='Linux only')
def test_peak_memory_sees_what_was_freed_again() -> None:
    peak_above = load('memory').peak_above

    def work() -> float:
        return float(torch.ones(32 * 2**20).sum())  # 128 MiB

    assert 120 * 2**20 < peak_above(work, torch.device('cpu')) < 200 * 2**20


def test_agreement_forgives_few_queries_only() -> None:
    agreement = load('agreement')
    peer = [torch.randn(1, 100, 9), torch.randn(1, 100, 4, 4)]

    def disturbed(count: int) -> list[torch.Tensor]:
        tensors = [tensor.clone() for tensor in peer]
        tensors[1][0, :count] += 0.1
        return tensors

    def agrees(tensors: list[torch.Tensor]) -> bool:
        differences = [agreement._relative(a, b) for a, b in zip(tensors, peer, strict=True)]
        return agreement._summary(differences).agrees

    assert agrees(disturbed(0)) and agrees(disturbed(1))
    assert not agrees(disturbed(10)) and not agrees(disturbed(100))


def test_calibrated_queries_see_objects_and_nothing() -> None:
    weights = load('weights')
    head, queries = nn.Linear(16, 134), 5 + 0.1 * torch.randn(1, 100, 16)
    weights.calibrate(head, head(queries))
    labels = head(queries).argmax(-1)
    assert int((labels == 133).sum()) == 80 and len(labels.unique()) > 3


def test_missing_peer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sides = load('sides')
    work = load('workload').make_workload(size=32, batch=1, objects=2, seed=0)
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(sides.MissingPeerError, match='pip install transformers'):
        sides.HuggingFace(work, torch.device('cpu'))


def call(script: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run a tool as a user does."""
    return subprocess.run([sys.executable, str(TOOLS / script), *arguments], text=True,
                          capture_output=True, check=False, cwd=TOOLS.parents[1])


@pytest.mark.slow
def test_whole_benchmark(tmp_path: Path) -> None:
    file = tmp_path / 'report.json'
    result = call('benchmark.py', 'infer', '--peer', 'mmdet', '--size', '64', '--objects', '3',
                  '--repeat', '1', '--json', str(file))
    assert result.returncode == 0, result.stderr[-2000:]
    report = json.loads(file.read_text())
    assert report['outputs_agree'] and report['outputs']['worst_difference'] < 1e-3
    assert report['time_ratio'] == report['seconds']['ours'] / report['seconds']['peer']
    assert report['memory_bytes']['ours'] > 2**20 and report['memory_ratio'] > 0
    assert {'backbone', 'pixel decoder', 'head', 'post-processing'} <= set(report['parts']['ours'])
    assert 'outputs agree: True' in result.stdout


def test_mp_former_beside_mask2former() -> None:
    """The same weights give the same predictions; the losses differ by the piloted part."""
    run = load('run')
    settings = run.Settings(mode='train', method='mp_former', peer='mask2former', device='cpu',
                            size=64, batch=1, objects=4, amp='off', repeat=1)
    ours, peer = run.build_pair(settings)
    assert load('agreement').compare_outputs(ours, peer).worst_difference == 0
    with torch.no_grad():
        assert ours.loss() > 1.2 * peer.loss()
        assert float(ours.compared_loss()) == pytest.approx(float(peer.loss()), rel=0.1)


def test_semask_beside_a_plain_encoder() -> None:
    """Closed gates change no prediction; the losses differ by the auxiliary one."""
    run = load('run')
    settings = run.Settings(mode='encoder', method='semask', peer='plain', device='cpu',
                            size=64, batch=1, objects=4, amp='off', repeat=1)
    ours, peer = run.build_pair(settings)
    assert load('agreement').compare_outputs(ours, peer).worst_difference == 0
    with torch.no_grad():
        assert ours.loss() > 1.01 * ours.compared_loss()
        assert float(ours.compared_loss()) == pytest.approx(float(peer.loss()), rel=0.1)
    steps = {side: load('steps').STEPS['encoder'](side, 'off') for side in (ours, peer)}
    parts = {side: load('steps').time_of_parts(step, side) for side, step in steps.items()}
    assert set(parts[peer]) == {'backbone', 'backward', 'rest'}
    assert set(parts[ours]) == {'backbone', 'semantic layers', 'backward', 'rest'}


@pytest.mark.parametrize('method', ['fapn', 'msfapn'])
def test_fapn_is_another_network(method: str) -> None:
    run = load('run')
    settings = run.Settings(mode='infer', method=method, peer='mask2former', device='cpu',
                            size=64, batch=1, objects=4, amp='off', repeat=1)
    ours, peer = run.build_pair(settings)
    assert not ours.alike and peer.alike
    backbones = [dict(side.model.backbone.named_parameters()) for side in (ours, peer)]
    assert all(torch.equal(value, backbones[1][name]) for name, value in backbones[0].items())
    found = load('steps').time_of_parts(load('steps').Predictor(ours, 'off'), ours)
    assert found['feature alignment'] > 0 and found['pixel decoder'] > 0
    assert 'not compared' in load('report')._agreement({})


def test_a_part_that_one_side_lacks_has_no_ratio() -> None:
    pair = dict(ours=2.0, peer=1.0)
    report = dict(
        settings=dict(mode='encoder', method='semask', peer='plain', device='cpu', size=64,
                      batch=1, objects=4, amp='off', repeat=1),
        machine=dict(processor='x', cores=2, threads=2, torch='2', python='3'), peer_amp_reason='',
        outputs_agree=True, outputs=dict.fromkeys(
            ('class_difference', 'mask_difference', 'mean_difference', 'outlier_queries'), 0.0),
        seconds=pair, time_ratio=2.0, memory_bytes=pair, memory_ratio=2.0,
        working_memory_bytes=pair, working_memory_ratio=2.0, parts=dict(
            ours={'backbone': 1.5, 'semantic layers': 0.5}, peer={'backbone': 1.0}))
    lines = load('report').table(report).splitlines()
    assert [line.split()[-3:] for line in lines if 'semantic layers' in line] == [
        ['500.0', '0.0', '-']]
    assert any('semask Swin-T COCO panoptic' in line for line in lines)


@pytest.mark.parametrize(('words', 'said'), [
    (['infer', '--size', '100'], '--size 100 is not a positive multiple of 32'),
    (['train', '--method', 'semask'], '--method semask and --peer plain go together'),
    (['train', '--peer', 'plain'], '--method semask and --peer plain go together'),
    (['train', '--method', 'fapn'], 'are compared with --peer mask2former'),
    (['encoder'], 'encoder compares methods of this library')])
def test_pairs_that_cannot_be_compared(words: list[str], said: str,
                                       monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', *words])
    with pytest.raises(SystemExit) as caught:
        importlib.import_module('benchmark').parse_arguments()
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_count(repo: Path) -> None:
    config = repo / 'configs/mask2former/r50_8xb2_coco-panoptic.py'
    result = call('count.py', str(config), '--shape', '64', '64')
    assert result.returncode == 0, result.stderr[-2000:]
    assert '44,036,998' in result.stdout
    assert call('count.py', 'nowhere.py').returncode == 2
