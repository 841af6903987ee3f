"""tools/analysis_tools/semask_evidence.py: what is compared, how far gates open, two baselines.

What it shares with mp_evidence.py is tested in test_mp_evidence.py.
"""

import argparse
import importlib
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.test_tools.conftest import ROOT
from unimask.cli import ConfigOptions
from unimask.preflight import load_config, prepare_config
from unimask.registry import MODELS

TOOL = ROOT / 'tools/analysis_tools/semask_evidence.py'
CONFIG = 'configs/semask/semask-tf-efficientnet-lite0_fpn_1xb2_camvid.py'


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOL.parent))


def load(name: str) -> object:
    return importlib.import_module(f'evidence.{name}')


def study() -> object:
    return load('semask').STUDY


def runs(seeds: int = 1) -> list:
    return list(load('plan').plan(study(), tasks=list(study().tasks),
                                  variants=list(study().meanings), seeds=seeds))


def config_of(run: object) -> object:
    options = load('plan').options(run, data=Path('data'), weights=Path('lite0.pth'))
    parser = argparse.ArgumentParser()
    parser.add_argument('--o', nargs='+', action=ConfigOptions)
    read = parser.parse_args(['--o', *(f'{key}={value}' for key, value in options.items())]).o
    return prepare_config(load_config(ROOT / 'configs' / run.what.config, read), mode='predict')


def test_plain_and_the_whole_come_first_for_every_task() -> None:
    chosen = runs(seeds=2)
    assert [run.seed for run in chosen] == [0] * 14 + [1] * 14
    assert {run.variant for run in chosen[:8]} == {'plain', 'semask'}
    assert Counter(run.task.split('_')[0] for run in chosen[8:14]) == {'lite0': 6}
    assert len({run.name for run in chosen}) == 28


@pytest.mark.slow
def test_each_variant_lacks_one_part_and_no_other() -> None:
    """Of the models as they are built: layers, norm, auxiliary branch, initialisation."""
    for run in runs():
        cfg = config_of(run)
        model = MODELS.build(dict(cfg.model, init_cfg=None))
        scratch = run.task.startswith('swin')
        encoder = getattr(model.backbone, 'encoder', model.backbone)
        assert type(encoder).__name__ == ('SwinTransformer' if scratch else 'TimmBackbone')
        assert ('lite0.pth' in str(cfg.model.init_cfg)) is not scratch
        assert cfg.optim_wrapper.paramwise_cfg.backbone_lr_mult == (1.0 if scratch else 0.3)
        assert type(model.head).__name__ == (
            'PerPixelHead' if run.task.endswith('fpn') else 'Mask2FormerHead')
        layers = getattr(model.backbone, 'semantic_layers', [])
        found = dict(
            layers=len(layers) == 4, loss=len(model.auxiliary) == 1,
            norm=all(layer.trunk_norm for layer in layers),
            residual=all(bool((layer.blocks[0].output.weight != 0).any()) for layer in layers))
        lacks = {'plain': dict(layers=False, loss=False), 'semask': {},
                 'semask, no norm': dict(norm=False), 'semask, no loss': dict(loss=False),
                 'semask, no residual': dict(residual=False)}[run.variant]
        assert found == dict(layers=True, loss=True, norm=True, residual=True) | lacks, run.name
        assert cfg.train_cfg.max_iters == run.what.iterations


def test_how_far_the_gates_opened(tmp_path: Path) -> None:
    cfg = load_config(ROOT / CONFIG)
    model = MODELS.build(dict(cfg.model, init_cfg=None))
    for layer, value in zip(model.backbone.semantic_layers, (0.1, -0.2, 0.0, 0.4), strict=True):
        torch.nn.init.constant_(layer.blocks[0].gamma, value)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'iter_8.pth')
    assert load('semask').gates(tmp_path) == pytest.approx({
        'semask/gate_1': 0.1, 'semask/gate_2': 0.2, 'semask/gate_3': 0.0, 'semask/gate_4': 0.4})


def test_what_is_measured_at_the_end_is_kept(tmp_path: Path) -> None:
    seen = []

    def train(run: object, options: dict, folder: Path) -> None:
        file = folder / '1/vis_data/scalars.json'
        file.parent.mkdir(parents=True)
        file.write_text('\n'.join(json.dumps({'semantic/mIoU': step, 'step': step})
                                  for step in (2, 4, 8)))

    def measure(folder: Path) -> dict:
        seen.append(folder.name)
        return {'semask/gate_1': 0.12345678}
    run = replace(runs()[0], study=replace(study(), measure=measure))
    load('running').run_all([run], results=tmp_path / 'results', work=tmp_path / 'work',
                            train=train, options_of=lambda run: dict(max_iters=8))
    record = json.loads((tmp_path / f'results/{run.name}.json').read_text())
    assert seen == [run.name]
    assert record['percent']['50'] == {'semantic/mIoU': 4.0}
    assert record['percent']['100'] == {'semantic/mIoU': 8.0, 'semask/gate_1': 0.123457}


def record(variant: str, seed: int, score: float, **gates: float) -> dict:
    return dict(task='lite0_fpn', variant=variant, seed=seed, percent={
        percent: {'semantic/mIoU': score, **(
            {f'semask/{name}': value for name, value in gates.items()} if percent == '100' else {})}
        for percent in ('25', '50', '100')})


RECORDS = [record('plain', 0, 30), record('plain', 1, 31),
           record('semask', 0, 33, gate_1=0.01, gate_2=0.03),
           record('semask', 1, 36, gate_1=0.03, gate_2=0.05),
           record('semask, no norm', 0, 38, gate_1=0.5), record('semask, no norm', 1, 38)]


def test_differences_to_both_baselines() -> None:
    report = load('report')
    found = report.summary(study(), RECORDS)
    part = found['lite0_fpn']['semask, no norm']
    assert part['gain'] == dict(mean=7.5, std=pytest.approx(0.707), pairs=2)
    assert part['gain_to']['semask'] == dict(mean=3.5, std=pytest.approx(2.121), pairs=2)
    assert 'gain_to' not in found['lite0_fpn']['semask'] and found[
        'lite0_fpn']['plain']['gain_to']['semask']['mean'] == -4
    text = report.table(study(), found)
    assert '| 100 % | against plain | against semask | gate |' in text
    assert ('| semask | 2 | 34.5 ± 2.1 | 34.5 ± 2.1 | 34.5 ± 2.1 | +4.0 ± 1.0 | - | 0.0300 |'
            in text)


def test_report_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, one in enumerate(RECORDS):
        file = tmp_path / f'results/{number}.json'
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(one))
    page = tmp_path / 'page.md'
    page.write_text('<!-- evidence begins -->\n<!-- evidence ends -->\n')
    monkeypatch.setattr(sys, 'argv', list(map(str, [
        'semask_evidence.py', 'report', '--results', tmp_path / 'results', '--page', page,
        '--plot', tmp_path / 'plot.png'])))
    importlib.import_module('semask_evidence').main()
    assert 'semantic FPN: CamVid, mIoU' in page.read_text()
    assert (tmp_path / 'plot.png').read_bytes().startswith(b'\x89PNG')
