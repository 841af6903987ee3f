"""No way of naming weights runs code from the file."""

import functools
import pickle
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model.weight_init import PretrainedInit
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

from tests.test_tools.conftest import CONFIG, SMALL, shapes, tool  # noqa: F401
from unimask.apis import Inferencer
from unimask.checkpoints import trusting
from unimask.cli import run_tool
from unimask.engine import Runner
from unimask.preflight import load_config, prepare_config
from unimask.registry import MODELS

HERE = 'bomb-was-here'


class Bomb:
    """Leaves a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


def as_torch(content: dict, path: Path) -> None:
    torch.save(content, path)


def as_old(content: dict, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def as_pickle(content: dict, path: Path) -> None:
    path.write_bytes(pickle.dumps({'model': {}, 'bomb': content['bomb']}, protocol=4))


@pytest.fixture(params=[as_torch, as_old, as_pickle])
def bomb(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file that wants to run code."""
    path = tmp_path / 'bomb.pth'
    content = dict(state_dict={'backbone.conv1.weight': torch.ones(1)}, bomb=Bomb(tmp_path / HERE))
    request.param(content, path)
    return path


@pytest.fixture
def torch_bomb(tmp_path: Path) -> Path:
    """The most common kind of it."""
    path = tmp_path / 'bomb.pth'
    as_torch(dict(state_dict={}, meta={}, bomb=Bomb(tmp_path / HERE)), path)
    return path


def refused(action: Callable[[], object], bomb: Path) -> None:
    """The action ends in the message about trust, and nothing was run."""
    with pytest.raises(ValueError, match='--trust-checkpoint') as caught:
        action()
    assert str(bomb) in str(caught.value) and 'weights_only' not in str(caught.value)
    assert not (bomb.parent / HERE).exists()


RESNET = dict(type='mmdet.ResNet', depth=18, base_channels=4)
SWIN = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
MIT = dict(type='mmseg.MixVisionTransformer', embed_dims=8, num_layers=[1, 1, 1, 1])
PVT = dict(type='mmdet.PyramidVisionTransformer', embed_dims=8, num_layers=[1, 1, 1, 1])
WAYS = {
    'Pretrained': lambda file: dict(RESNET, init_cfg=dict(type='Pretrained', checkpoint=file)),
    'with a prefix': lambda file: dict(RESNET, init_cfg=dict(
        type='Pretrained', checkpoint=file, prefix='backbone')),
    "MMEngine's by its scope": lambda file: dict(RESNET, init_cfg=dict(
        type='mmengine.Pretrained', checkpoint=file)),
    'in a list': lambda file: dict(RESNET, init_cfg=[
        dict(type='Kaiming', layer='Conv2d'), dict(type='Pretrained', checkpoint=file)]),
    'as an override': lambda file: dict(RESNET, init_cfg=dict(
        type='Kaiming', layer='Conv2d', override=dict(
            type='Pretrained', name='layer1', checkpoint=file))),
    'PretrainedBackbone': lambda file: dict(RESNET, init_cfg=dict(
        type='PretrainedBackbone', checkpoint=file)),
    'pretrained=': lambda file: dict(RESNET, pretrained=file),
    "mmdet's Swin by itself": lambda file: dict(
        SWIN, type='mmdet.SwinTransformer', init_cfg=dict(type='Pretrained', checkpoint=file)),
    "mmseg's Swin by itself": lambda file: dict(
        SWIN, type='mmseg.SwinTransformer', init_cfg=dict(type='Pretrained', checkpoint=file)),
    "mmdet's PVT by itself": lambda file: dict(
        PVT, init_cfg=dict(type='Pretrained', checkpoint=file)),
    "mmseg's MiT": lambda file: dict(MIT, init_cfg=dict(type='Pretrained', checkpoint=file)),
}


@pytest.mark.parametrize('way', WAYS)
def test_components(way: str, bomb: Path) -> None:
    refused(lambda: MODELS.build(ConfigDict(WAYS[way](str(bomb)))).init_weights(), bomb)


def test_mmengines_own_initializer(bomb: Path) -> None:
    refused(lambda: PretrainedInit(str(bomb))(nn.Linear(1, 1)), bomb)


@pytest.mark.parametrize('options', [
    lambda file: dict(model_args=dict(checkpoint_path=file)),
    lambda file: dict(pretrained=True, model_args=dict(pretrained_cfg_overlay=dict(file=file)))])
def test_timm(options: Callable, bomb: Path) -> None:
    model = dict(type='TimmBackbone', model_name='resnet10t', **options(str(bomb)))
    with pytest.raises(ValueError, match='without running code .*PretrainedBackbone') as caught:
        MODELS.build(model)
    assert 'weights_only' not in str(caught.value)
    assert not (bomb.parent / HERE).exists()


@pytest.mark.parametrize('load', [
    lambda path: CheckpointLoader.load_checkpoint(path),
    lambda path: load_checkpoint(nn.Linear(1, 1), path)])
def test_mmengines_loaders(load: Callable, bomb: Path) -> None:
    refused(lambda: load(str(bomb)), bomb)


def test_every_scheme_of_mmengines_loader_is_ours() -> None:
    assert {loader.__module__ for loader in CheckpointLoader._schemes.values()} == {
        'unimask.checkpoints.guard'}
    with pytest.raises(ValueError, match='Copy the file to this machine'):
        CheckpointLoader.load_checkpoint('s3://bucket/a.pth')
    with pytest.raises(ValueError, match=r'no weights torchvision://resnet5\. Did you mean'):
        CheckpointLoader.load_checkpoint('torchvision://resnet5')


def test_a_url(bomb: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    cached = tmp_path / 'hub' / 'checkpoints' / 'bomb.pth'
    cached.parent.mkdir(parents=True)
    cached.write_bytes(bomb.read_bytes())
    with pytest.raises(ValueError, match='--trust-checkpoint'):
        CheckpointLoader.load_checkpoint('http://127.0.0.1:9/bomb.pth')
    assert not (tmp_path / HERE).exists()


def test_a_trusted_one_is_read(torch_bomb: Path) -> None:
    with trusting(True):
        CheckpointLoader.load_checkpoint(str(good_and_trusted(torch_bomb)))
    assert (torch_bomb.parent / HERE).exists()
    (torch_bomb.parent / HERE).unlink()
    refused(lambda: CheckpointLoader.load_checkpoint(str(torch_bomb)), torch_bomb)


def good_and_trusted(bomb: Path) -> Path:
    as_torch(dict(state_dict={'a': torch.ones(1)}, bomb=Bomb(bomb.parent / HERE)), bomb)
    return bomb


@pytest.mark.parametrize('resume', [False, True])
@pytest.mark.parametrize('mode', ['train', 'test'])
def test_the_runner(bomb: Path, config: Config, mode: str, resume: bool) -> None:
    config.load_from, config.resume = str(bomb), resume and mode == 'train'
    refused(lambda: getattr(Runner.from_cfg(prepare_config(config, mode=mode)), mode)(), bomb)


def test_predicting(bomb: Path) -> None:
    cfg = load_config(CONFIG, {key: value for key, value in SMALL.items() if 'model' in key})
    refused(lambda: Inferencer(cfg, bomb, device='cpu'), bomb)


def test_converting(bomb: Path, repo: Path, monkeypatch: pytest.MonkeyPatch,
                    capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, 'argv', ['convert.py', str(bomb), str(bomb.with_name('out.pth'))])
    converter = runpy.run_path(str(repo / 'tools/model_converters/convert.py'))
    assert run_tool(converter['main']) == 2
    assert '--trust-source' in capsys.readouterr().err
    assert [path.name for path in bomb.parent.iterdir()] == ['bomb.pth']


TOOL_WAYS = {
    'model': lambda file: {'model.init_cfg': dict(type='Pretrained', checkpoint=file)},
    'backbone': lambda file: {
        'model.init_cfg': None,
        'model.backbone.init_cfg': dict(type='Pretrained', checkpoint=file)},
    'load_from': lambda file: {'load_from': file, 'model.init_cfg': None},
}


@pytest.mark.parametrize('way', TOOL_WAYS)
def test_the_training_tool(way: str, torch_bomb: Path, shapes: Path, tool: Callable,  # noqa: F811
                           tmp_path: Path) -> None:
    """The config is the user's, as it reaches tools/train.py."""
    config = tmp_path / 'own.py'
    lines = [f'_base_ = [{str(CONFIG)!r}]', 'model = dict()']
    for key, value in TOOL_WAYS[way](str(torch_bomb)).items():
        parts = key.split('.')
        nested = functools.reduce(lambda inner, name: f'dict({name}={inner})', parts[:0:-1],
                                  repr(value))
        lines.append(f'{parts[0]}.update({nested})' if len(parts) > 1 else f'{key} = {value!r}')
    config.write_text('\n'.join(lines))
    result = tool('train.py', config, '--work-dir', tmp_path / 'work', data_root=shapes)
    assert result.status == 2 and '--trust-checkpoint' in result.err, result.err
    assert not (tmp_path / HERE).exists()
