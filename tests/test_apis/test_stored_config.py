"""The config in a checkpoint is read, never run."""

import copy
import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tests.test_apis.conftest import noise
from tests.test_tools.conftest import CONFIG, SMALL
from unimask.apis import Inferencer
from unimask.apis.stored_config import parse_config, stored_config
from unimask.errors import UserError
from unimask.preflight import load_config
from unimask.preflight.components import find_component, is_registered

MODEL = "model = dict(type='UniversalSegmentor', backbone=dict(type='TimmBackbone', {}))\n"
LOADER = "test_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImage'), {}]))\n"
ATTACKS = ("__import__('os').system('touch {0}')", "open('{0}', 'w')", "f'{{open({0!r})}}'",
           "(lambda: open('{0}', 'w'))()", "[open('{0}', 'w') for _ in '1']",
           'dict(**dict(a=1))', '{{**dict(a=1)}}', "dict([('a', 1)])", "dict.fromkeys('a')", 'b')


def test_a_checkpoint_alone_is_enough(checkpoint: Path, inferencer: Inferencer):
    picture = noise()
    alone = Inferencer(checkpoint, device='cpu')
    assert alone.classes == ('cat', 'grass') == inferencer.classes
    [found], [expected] = alone(picture), inferencer(picture)
    assert torch.equal(found.pred_sem_seg.sem_seg, expected.pred_sem_seg.sem_seg)
    assert torch.equal(found.pred_instances.masks, expected.pred_instances.masks)
    assert found.classes == ('cat', 'grass')


def test_a_checkpoint_that_does_not_say_its_classes(checkpoint: Path, tmp_path: Path):
    stored = torch.load(checkpoint, weights_only=True)
    cfg = Config.fromstring(stored['meta']['cfg'], '.py')
    cfg.model.pop('taxonomy')
    torch.save(dict(stored, meta=dict(cfg=cfg.pretty_text)), tmp_path / 'own.pth')
    with pytest.raises(UserError, match='own.pth does not say its classes.*model.taxonomy'):
        Inferencer(tmp_path / 'own.pth', device='cpu')
    options = {'model.taxonomy': dict(classes=('cat', 'grass'), thing_classes=('cat',))}
    named = Inferencer(tmp_path / 'own.pth', device='cpu', options=options)
    assert named.classes == ('cat', 'grass')


def test_options_reach_the_stored_config(checkpoint: Path):
    model = Inferencer(checkpoint=checkpoint, device='cpu',
                       options={'model.test_cfg.tasks': ['semantic']})
    assert set(model(noise())[0].keys()) == {'pred_sem_seg'}


def test_every_value_survives():
    text = load_config(CONFIG, SMALL).pretty_text
    values = parse_config(text)
    assert Config(values).to_dict() == Config.fromstring(text, '.py').to_dict()
    assert parse_config('a = -1\nb = [-2.5, (None, True)]\nc = {1: "x" "y"}\nd = -inf') == dict(
        a=-1, b=[-2.5, (None, True)], c={1: 'xy'}, d=-math.inf)


@pytest.mark.parametrize('attack', ATTACKS)
@pytest.mark.parametrize('frame', ['a = {}', 'a = dict(b=[1, {}])', '{}', 'a = {{1: {}}}'])
def test_code_is_refused_and_not_run(attack: str, frame: str, tmp_path: Path):
    touched = tmp_path / 'ran'
    with pytest.raises(UserError, match='line 1'):
        parse_config(frame.format(attack.format(touched)))
    assert not touched.exists()


@pytest.mark.parametrize('statement', [
    'import os', 'from os import system', 'def f(): pass', 'a.b = 1', 'a, b = 1, 2', 'a += 1',
    'del a', 'if True: pass', 'a = ', '(' * 3000, 'a = {[]: 1}'])
def test_statements_are_refused(statement: str):
    with pytest.raises(UserError):
        parse_config(statement)


@pytest.mark.parametrize('name', [
    'os.system', 'subprocess.run', 'mmengine.dump', 'mmengine.utils.symlink', 'builtins.exec',
    'mmdet.apis.init_detector', 'Nothing', '', None, 3])
def test_names_of_python_objects_are_refused(name: object):
    assert not is_registered(name)
    for part in (MODEL.format(f'x=dict(type={name!r})') + LOADER.format(''),
                 MODEL.format('') + LOADER.format(f'dict(type={name!r})')):
        with pytest.raises(UserError, match='no registered component.*config file'):
            stored_config(dict(meta=dict(cfg=part)), path='x.pth')


def test_dotted_names_are_what_the_registries_would_import():
    # The reason for the check: without it this would be built and called.
    import os
    assert find_component('os.system') is os.system


@pytest.mark.parametrize('name', [
    'UniversalSegmentor', 'mmdet.ResNet', 'mmseg.MixVisionTransformer', 'BN', 'LoadImage'])
def test_registered_names_are_known(name: str):
    assert is_registered(name)


@pytest.mark.parametrize('part', [
    "_scope_='os'", "x=dict(type='ReLU', _scope_='subprocess')", "taxonomy='os.path'"])
def test_other_ways_to_imports_are_refused(part: str):
    with pytest.raises(UserError, match='_scope_|taxonomy'):
        stored_config(dict(meta=dict(cfg=MODEL.format(part) + LOADER.format(''))), path='x.pth')


def test_only_model_and_pipeline_are_taken_without_names_of_weights():
    text = MODEL.format("init_cfg=dict(type='PretrainedBackbone', checkpoint='/etc/x'), "
                        "model_args=dict(checkpoint_path='/etc/x', pretrained_cfg=dict(url='x'), "
                        "drop=0.1), pretrained=True") + LOADER.format(
        "dict(type='mmseg.LoadBiomedicalImageFromFile', decode_backend='pickle'), "
        "dict(type='PackSegInputs')") + "custom_imports = dict(imports=['antigravity'])\n"
    cfg = stored_config(dict(meta=dict(cfg=text)), path='x.pth')
    assert set(cfg.keys()) == {'model', 'test_dataloader'}
    assert cfg.model.backbone.to_dict() == dict(type='TimmBackbone', model_args=dict(drop=0.1))
    assert [step['type'] for step in cfg.test_dataloader.dataset.pipeline] == [
        'LoadImage', 'PackSegInputs']


@pytest.mark.parametrize('content', [
    {}, dict(meta=None), dict(meta={}), dict(meta=dict(cfg=None)), dict(meta=dict(cfg='')),
    dict(meta=dict(cfg='a = 1')), dict(meta=dict(cfg='model = dict()\ntest_dataloader = dict()')),
    dict(meta=dict(cfg='model = dict()\ntest_dataloader = dict(dataset=[1])')),
    dict(meta=dict(cfg=7)), dict(meta='x')])
def test_what_is_missing_is_said(content: dict):
    with pytest.raises(UserError, match='before the checkpoint'):
        stored_config(content, path='x.pth')


@pytest.mark.parametrize('part', ['meta', 'dataset_meta', 'classes'])
def test_strange_metadata_are_no_traceback(part: str, checkpoint: Path, tmp_path: Path):
    content = copy.deepcopy(torch.load(checkpoint))
    where = dict(meta=content, dataset_meta=content['meta'],
                 classes=content['meta']['dataset_meta'])[part]
    where[part] = 5
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(UserError):
        Inferencer(CONFIG, tmp_path / 'x.pth', options=SMALL)
