"""The light installation: everything but the components of mmdet and mmseg, without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import own_folders as folders
import pytest
import torch

from unimask.registry import MODELS

BUILD = """
import json, sys
import unimask
silent = sorted({'torch', 'mmengine', 'cv2', 'timm'} & sys.modules.keys())
import torch
from mmengine.config import Config
from unimask import registry
from unimask.errors import UserError
from unimask.utils import register_all_modules
register_all_modules()
cfg = Config.fromfile(sys.argv[1])
model = registry.MODELS.build(cfg.model).eval()
data = registry.DATASETS.build(cfg.train_dataloader.dataset)
sample = data[0]
batch = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
losses = model(**model.data_preprocessor(batch, True), mode='loss')
held_out = registry.DATASETS.build(cfg.val_dataloader.dataset)[0]
batch = dict(inputs=[held_out['inputs']], data_samples=[held_out['data_samples']])
with torch.no_grad():
    [predicted] = model.test_step(batch)
scores = {}
for one in cfg.val_evaluator:
    metric = registry.METRICS.build(one)
    metric.dataset_meta = data.metainfo
    metric.process({}, [predicted.to_dict()])
    scores.update(metric.evaluate(1))
drawn = registry.VISUALIZERS.build(dict(type='UniversalVisualizer', name='light'))
drawn.dataset_meta = data.metainfo
picture = drawn.draw(held_out['inputs'].permute(1, 2, 0).numpy(), predicted)
errors = []
for kind in ('mmdet.ResNeXt', 'mmseg.MixVisionTransformer', 'StagedResNet'):
    try:
        registry.MODELS.build(dict(type=kind, depths=(1,), widths=(8,), strides=(1,))
                              if kind == 'StagedResNet' else dict(type=kind))
    except UserError as error:
        errors.append(str(error))
print(json.dumps(dict(
    silent=silent, losses=[float(v) for v in losses.values()], scores=scores, errors=errors,
    picture=picture.shape, loaded=sorted(
        {'mmdet', 'mmseg', 'mmcv', 'cityscapesscripts'} & sys.modules.keys()))))
"""

LOAD = """
import sys
import torch
from unimask.preflight import load_config, prepare_config
from unimask.preflight.state import load_state
from unimask.registry import MODELS
from unimask.utils import register_all_modules
register_all_modules()
for number in range(2):
    saved = torch.load(f'{sys.argv[1]}/{number}.pth')
    model = MODELS.build(saved['config']).eval()
    load_state(saved['state'], model, path='saved')
    with torch.no_grad():
        torch.testing.assert_close(model(saved['images']).class_logits, saved['logits'])
    print(type(model.backbone).__name__)
print({'mmdet', 'mmseg', 'mmcv'} & sys.modules.keys())
for name in sys.argv[2:]:
    cfg = prepare_config(load_config(f'configs/{name}'), mode='predict')
    print(type(MODELS.build(cfg.model).backbone).__name__)
"""


@pytest.fixture
def light(repo: Path) -> Callable[..., str]:
    """Run Python with the full installation's libraries kept away; gives what it prints."""
    def call(*words: object, status: int = 0) -> str:
        path = os.pathsep.join([str(repo / 'tests' / 'without_mm'), str(repo)])
        done = subprocess.run([sys.executable, '-W', 'ignore', *map(str, words)], cwd=repo,
                              env={**os.environ, 'PYTHONPATH': path}, capture_output=True,
                              text=True, timeout=900)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + (done.stderr if status else '')
    return call


def test_libraries_are_kept_away(light: Callable) -> None:
    """The other tests here would show nothing without this."""
    said = light('-c', 'import mmcv', status=1)
    assert "No module named 'mmcv'" in said


@pytest.mark.slow
def test_everything_is_built(light: Callable, repo: Path, tmp_path: Path) -> None:
    config = tmp_path / 'config.py'
    made = light('tools/dataset_converters/make_shapes.py', tmp_path / 'shapes',
                 '--num-train', 2, '--num-val', 1)
    assert 'Traceback' not in made
    config.write_text(
        f"_base_ = '{repo}/configs/demo/mask2former_shapes.py'\n"
        f"train_dataloader = dict(dataset=dict(data_root='{tmp_path}/shapes/'))\n"
        f"val_dataloader = dict(dataset=dict(data_root='{tmp_path}/shapes/'))\n")
    said = json.loads(light('-c', BUILD, config).splitlines()[-1])
    assert said['silent'] == []  # what `import unimask` brings along
    assert said['loaded'] == []
    assert said['losses'] and all(0 <= value < 1e4 for value in said['losses'])
    assert any('PQ' in name for name in said['scores'])
    assert said['picture'][2] == 3
    assert len(said['errors']) == 3
    assert all('pip install "unimask[mm]"' in text for text in said['errors'])


def saved_with_mmdet(folder: Path) -> None:
    """Two checkpoints of models with MMDetection's backbones, and what these compute."""
    for number, backbone in enumerate((
            dict(type='mmdet.ResNet', depth=18),
            dict(type='mmdet.SwinTransformer', embed_dims=12, depths=(1, 2, 1, 1),
                 num_heads=(1, 2, 2, 4), window_size=5))):
        config = dict(type='UniversalSegmentor', backbone=backbone, taxonomy=dict(classes=('cat',)),
                      neck=dict(type='FPNPixelDecoder', channels=32, mask_channels=32),
                      head=dict(type='MaskFormerHead', channels=32, num_heads=2, num_layers=1))
        model, images = MODELS.build(config).eval(), torch.randn(1, 3, 70, 96)
        with torch.no_grad():
            logits = model(images).class_logits
        torch.save(dict(config=config, state=model.state_dict(), images=images, logits=logits),
                   folder / f'{number}.pth')


def test_checkpoints_with_backbones_of_mmdet(light: Callable, tmp_path: Path) -> None:
    saved_with_mmdet(tmp_path)
    assert light('-c', LOAD, tmp_path).split() == ['TimmBackbone', 'TimmSwin', 'set()']


@pytest.mark.slow
def test_published_configs(light: Callable, tmp_path: Path) -> None:
    saved_with_mmdet(tmp_path)
    said = light('-c', LOAD, tmp_path, 'mask2former/r50_8xb2_coco-panoptic.py',
                 'mp_former/swin-t_8xb2_ade20k.py', 'maskformer/r101_8xb2_ade20k.py',
                 'semask/semask-swin-t_fpn_8xb2_ade20k.py')
    assert said.split()[3:] == ['TimmBackbone', 'TimmSwin', 'TimmBackbone', 'SeMaskSwin']


COMMANDS = """
import json, sys
from unimask.__main__ import main
for words in json.loads(sys.argv[1]):
    sys.argv = ['unimask', *words]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


@pytest.mark.slow
def test_from_own_data_to_results(light: Callable, tmp_path: Path) -> None:
    """Several commands share a process, as importing takes longer than what they do here."""
    def run(*commands: tuple[object, ...], status: int = 0) -> str:
        return light('-c', COMMANDS, json.dumps(
            [[str(word) for word in words] for words in commands]), status=status)

    own, out = folders.label_maps(tmp_path / 'own'), tmp_path / 'run'
    run(('check', own, '--out', tmp_path / 'check.html'),
        ('train', '--data', own, '--out', out, '--iters', 2, '--weights', 'none'))
    best, native = next(out.glob('best_*.pth')), tmp_path / 'native.safetensors'
    refused = run(
        ('predict', own / 'images', '--checkpoint', best, '--out', tmp_path / 'predicted'),
        ('test', out / 'config.py', best, '--out', tmp_path / 'scores.json'),
        ('convert', best, native), ('convert', native, tmp_path / 'back.pth'),
        ('test', out / 'config.py', best, '--cfg-options', 'model.backbone.type=mmdet.ResNeXt'),
        status=2)
    assert (tmp_path / 'check.html').is_file()
    assert 'data:image/jpeg' in (out / 'report.html').read_text()  # the worst pictures too
    assert len(list((tmp_path / 'predicted').glob('scene *.png'))) == 6
    assert any('mIoU' in name for name in json.loads((tmp_path / 'scores.json').read_text()))
    assert native.stat().st_size > 1e6 and (tmp_path / 'back.pth').stat().st_size > 1e6
    assert 'mmdet.ResNeXt needs MMDetection' in refused and 'unimask[mm]' in refused
    assert 'Traceback' not in refused
