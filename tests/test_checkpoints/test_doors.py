"""A file that one tool takes, all take."""

import functools
import pickle
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import toy
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from tests.test_tools.conftest import CONFIG, SMALL
from unimask.apis import Inferencer
from unimask.cli import run_tool
from unimask.convert import Pretrained, PretrainedBackbone
from unimask.engine import Runner
from unimask.preflight import load_config, prepare_config
from unimask.registry import MODELS

RESNET = dict(type='mmdet.ResNet', depth=18, base_channels=4,
              norm_cfg=dict(type='BN', requires_grad=False))
State = dict[str, Tensor]


def torch_file(name: str, wrap: Callable[[State], dict]) -> Callable[[State, Path], Path]:
    def write(state: State, folder: Path) -> Path:
        torch.save(wrap(state), folder / name)
        return folder / name
    return write


def behind_module(state: State) -> State:
    return {f'module.{name}': value for name, value in state.items()}


def safetensors(state: State, folder: Path, name: str = 'x.safetensors') -> Path:
    save = pytest.importorskip('safetensors.torch').save_file
    save({name: value.contiguous() for name, value in state.items()}, folder / name)
    return folder / name


def arrays(state: State, folder: Path) -> Path:
    content = {'model': {name: value.numpy() for name, value in state.items()}, '__author__': 'me'}
    (folder / 'x.pkl').write_bytes(pickle.dumps(content, protocol=2))
    return folder / 'x.pkl'


def run_folder(state: State, folder: Path) -> Path:
    torch.save(dict(state_dict=state), folder / 'iter_3.pth')
    return folder


def peers_folder(state: State, folder: Path) -> Path:
    return safetensors(state, folder, 'model.safetensors').parent


KINDS = {
    'bare': torch_file('x.pth', lambda state: state),
    'state_dict': torch_file('x.pth', lambda state: dict(state_dict=state, meta={})),
    'model': torch_file('x.pt', lambda state: dict(model=state, epoch=3)),
    'module. names': torch_file('x.pth', behind_module),
    'module. names under state_dict': torch_file(
        'x.bin', lambda state: dict(state_dict=behind_module(state))),
    'safetensors': safetensors, 'arrays': arrays, 'run': run_folder, 'folder': peers_folder,
    'url': torch_file('x.pth', lambda state: state),
}


@pytest.fixture(params=sorted(KINDS))
def named(request: pytest.FixtureRequest, tmp_path: Path, server: str,
          monkeypatch: pytest.MonkeyPatch) -> Callable[[State], str]:
    """Write weights as one kind of file; return what a user names it by."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))

    def write(state: State) -> str:
        path = KINDS[request.param](state, tmp_path)
        return f'{server}/{path.name}' if request.param == 'url' else str(path)
    return write


def filled(model: nn.Module, value: float) -> State:
    return {name: torch.full_like(each, value) if each.is_floating_point() else each
            for name, each in model.state_dict().items()}


def toy_state() -> State:
    return filled(toy.ToyModel(taxonomy=dict(classes=toy.CLASSES)), 0.25)


def test_training_starts_from_it(named: Callable, config: Config) -> None:
    config.load_from = named(toy_state())
    config.custom_hooks, config.optim_wrapper.optimizer.lr = [], 0.0
    config.train_cfg.max_iters = config.train_cfg.val_interval = 1
    config.train_dataloader.dataset.metainfo = config.val_dataloader.dataset.metainfo = None
    model = Runner.from_cfg(prepare_config(config)).train()
    assert bool((model.class_embed.weight == 0.25).all())


def test_testing_takes_it(named: Callable, config: Config) -> None:
    config.load_from, config.custom_hooks = named(toy_state()), []
    runner = Runner.from_cfg(prepare_config(config, mode='test'))
    runner.test()
    assert bool((runner.model.class_embed.weight == 0.25).all())


@functools.cache
def small_config() -> Config:
    return load_config(CONFIG, {key: value for key, value in SMALL.items() if 'model' in key})


@functools.cache
def small_state() -> State:
    return filled(MODELS.build(dict(small_config().model, init_cfg=None)), 0.25)


def test_predicting_takes_it(named: Callable) -> None:
    inferencer = Inferencer(small_config(), named(small_state()), device='cpu')
    assert bool((inferencer.model.head.class_embed.weight == 0.25).all())


def test_the_converter_takes_it(named: Callable, tmp_path: Path, repo: Path,
                                monkeypatch: pytest.MonkeyPatch) -> None:
    path = named(filled(MODELS.build(RESNET), 0.25))
    monkeypatch.setattr(sys, 'argv', ['convert.py', path, str(tmp_path / 'out' / 'y.pth')])
    tool = runpy.run_path(str(repo / 'tools/model_converters/convert.py'))
    assert run_tool(tool['main']) == 0
    written = torch.load(tmp_path / 'out' / 'y.pth')['state_dict']
    assert bool((written['backbone.conv1.weight'] == 0.25).all())


@pytest.mark.parametrize('load', [
    lambda path, module: PretrainedBackbone(path)(module),
    lambda path, module: Pretrained(path)(module),
    lambda path, module: module.load_state_dict(
        CheckpointLoader.load_checkpoint(path)['state_dict'])])
def test_initializers_take_it(named: Callable, load: Callable) -> None:
    backbone = MODELS.build(RESNET)
    load(named(filled(backbone, 0.25)), backbone)
    assert bool((backbone.conv1.weight == 0.25).all())


def test_pretrained_takes_the_part_of_a_model(tmp_path: Path) -> None:
    backbone = MODELS.build(RESNET)
    state = {f'backbone.{name}': value for name, value in filled(backbone, 0.25).items()}
    torch.save(dict(state_dict=state), tmp_path / 'x.pth')
    for prefix in ('backbone', 'backbone.'):
        part = MODELS.build(dict(RESNET, init_cfg=dict(
            type='Pretrained', checkpoint=str(tmp_path / 'x.pth'), prefix=prefix)))
        part.init_weights()
        assert bool((part.conv1.weight == 0.25).all())


def test_pretrained_that_would_load_nothing_is_an_error(tmp_path: Path) -> None:
    torch.save({'a': torch.ones(1)}, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='x.pth has no weights for ResNet.*PretrainedBackbone'):
        Pretrained(str(tmp_path / 'x.pth'))(MODELS.build(RESNET))
