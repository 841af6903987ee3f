"""A config is a sum: what is one file makes one file, whatever there is of the rest."""

from pathlib import Path

import pytest
from mmengine.config import Config

from unimask.preflight import load_config, prepare_config
from unimask.registry import MODELS

BASE = Path(__file__).resolve().parents[2] / 'configs/_base_'
METHODS = sorted(path.stem for path in (BASE / 'methods').glob('*.py'))
BACKBONES = sorted(path.stem for path in (BASE / 'backbones').glob('*.py'))
DATASETS = sorted(path.stem for path in (BASE / 'datasets').glob('*.py'))
SCHEDULES = sorted(path.stem for path in (BASE / 'schedules').glob('*.py'))
NEW_BACKBONE = """
encoder = dict(
    data_preprocessor=dict(mean=[1.0, 2.0, 3.0]),
    backbone=dict(type='TimmBackbone', model_name='resnet10t'))
"""


def compose(folder: Path, *, backbone: str = 'r50', method: str = 'mask2former',
            dataset: str = 'ade20k_semantic_512', schedule: str = 'mask2former_160k') -> Path:
    """A config file of four parts; a backbone may be a file of its own."""
    backbone = backbone if backbone.endswith('.py') else str(BASE / f'backbones/{backbone}.py')
    bases = [backbone, *(str(BASE / part) for part in (
        f'methods/{method}.py', f'datasets/{dataset}.py', f'schedules/{schedule}.py',
        'default_runtime.py'))]
    file = folder / 'composed.py'
    file.write_text(f'_base_ = {bases}\nmodel = dict(**_base_.encoder, **_base_.labels)\n')
    return file


@pytest.mark.parametrize('method', METHODS)
def test_a_new_backbone_is_one_file(method: str, tmp_path: Path) -> None:
    (tmp_path / 'new.py').write_text(NEW_BACKBONE)
    file = compose(tmp_path, backbone=str(tmp_path / 'new.py'), method=method)
    cfg = Config.fromfile(file)
    assert cfg.model.data_preprocessor.mean == [1.0, 2.0, 3.0]
    assert cfg.model.data_preprocessor.std == [58.395, 57.12, 57.375]
    model = MODELS.build(cfg.model)
    assert type(model.backbone).__name__ == 'TimmBackbone'
    assert model.taxonomy.num_classes == 150


@pytest.mark.parametrize('backbone', BACKBONES)
def test_backbones_state_themselves_and_their_weights_only(backbone: str) -> None:
    cfg = Config.fromfile(BASE / f'backbones/{backbone}.py')
    assert set(cfg) == {'encoder'}
    assert {'backbone', 'init_cfg'} <= set(cfg.encoder) <= {
        'backbone', 'init_cfg', 'data_preprocessor'}
    assert cfg.encoder.init_cfg.type == 'PretrainedBackbone'


@pytest.mark.parametrize('method', METHODS)
def test_methods_know_no_backbone_and_no_data(method: str) -> None:
    cfg = Config.fromfile(BASE / f'methods/{method}.py')
    assert set(cfg) == {'model'}
    assert not {'backbone', 'init_cfg', 'taxonomy'} & set(cfg.model)


@pytest.mark.parametrize('dataset', DATASETS)
def test_every_dataset_composes(dataset: str, tmp_path: Path) -> None:
    cfg = Config.fromfile(compose(tmp_path, dataset=dataset))
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.data_root == cfg.data_root
        assert cfg[f'{split}_dataloader'].dataset.get('test_mode', False) == (split != 'train')
    assert cfg.model.taxonomy == cfg.labels.taxonomy
    assert cfg.model.test_cfg.tasks == cfg.labels.test_cfg.tasks


@pytest.mark.parametrize('schedule', SCHEDULES)
def test_every_schedule_states_its_length_once(schedule: str, tmp_path: Path) -> None:
    file = compose(tmp_path, schedule=schedule)
    if 'train_cfg' not in Config.fromfile(BASE / f'schedules/{schedule}.py'):
        return  # what the others share
    before, cfg = load_config(file), load_config(file, {'max_iters': 77})
    assert before.train_cfg.max_iters == before.max_iters != 77
    assert cfg.train_cfg.max_iters == 77
    assert all('end' not in part for part in cfg.param_scheduler if part.type == 'PolyLR')


def test_a_composed_config_is_fit_for_a_run(tmp_path: Path) -> None:
    cfg = load_config(compose(tmp_path, schedule='mask2former_small'))
    prepared = prepare_config(cfg, mode='predict')
    assert prepared.model.backbone.depth == 50
