"""Mistakes in config files, each with a message that names the key and what was meant."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config

from unimask.errors import UserError
from unimask.preflight import load_config, prepare_config
from unimask.preflight.components import check_components
from unimask.preflight.config_files import check_keys, config_folder
from unimask.preflight.options import KNOWN_KEYS

CONFIGS = sorted(path.relative_to(config_folder()) for path in config_folder().rglob('*.py')
                 if '_base_' not in path.parts)


@pytest.mark.parametrize(('line', 'meant'), [
    ('train_cgf = dict(max_iters=3)', 'train_cfg'),
    ("optim_wraper = dict(type='OptimWrapper')", 'optim_wrapper'),
    ("optimizer_wrapper = dict(type='OptimWrapper')", 'optim_wrapper'),
    ('modle = dict(slow=1.0)', 'model'),
    ("load_form = 'a.pth'", 'load_from'),
    ("custom_hook = [dict(type='EMAHook')]", 'custom_hooks'),
    ('train_dataloder = dict(batch_size=1)', 'train_dataloader'),
    ("data_rot = '/data'", 'data_root'),
    ('crop_sise = 3', 'crop_size'),
    ('max_iter = 3', 'max_iters'),
])
def test_misspelt_key_of_a_file(config_file: Path, line: str, meant: str) -> None:
    config_file.write_text(f'{config_file.read_text()}\n{line}\n')
    with pytest.raises(UserError, match=f"nothing reads this key .*Did you mean '{meant}'"):
        prepare_config(load_config(config_file))


def test_nothing_to_delete(config_file: Path) -> None:
    config_file.write_text(f'{config_file.read_text()}\nown = dict(_delete_=True, a=1)\n')
    assert load_config(config_file).own == dict(a=1)


@pytest.mark.parametrize('line', [
    'num_classes = 3', "norm_cfg = dict(type='BN')", "work_name = 'x'", 'img_size = 512',
    'train_pipeline = []', "optimizer = dict(type='AdamW')", 'max_epochs = 5',
    "dataset_type = 'ToyData'", "val_data_root = 'b'", "train_dataset = dict(type='ToyData')",
    "models = [dict(type='A')]\ncustom_hooks = [dict(type='EMAHook', momentum=0.1)]",
    "work_dirs = 'work'\nwork_dir = work_dirs",
])
def test_variables_of_ones_own_are_no_mistakes(config_file: Path, line: str) -> None:
    config_file.write_text(f'{config_file.read_text()}\n{line}\n')
    if line.startswith('models'):
        with pytest.raises(UserError, match="'model'"):  # but this is too close
            prepare_config(load_config(config_file))
    else:
        prepare_config(load_config(config_file))


@pytest.mark.slow
@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_no_alarm_for_our_own_configs(path: Path) -> None:
    cfg = load_config(f'unimask::{path}')
    check_keys(cfg, KNOWN_KEYS)
    check_components(cfg)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda cfg: cfg.train_dataloader.update(batchsize=4),
     "train_dataloader.batchsize: a data loader has no option.*Did you mean 'batch_size'"),
    (lambda cfg: cfg.optim_wrapper.optimizer.update(learning_rate=1.0),
     "optim_wrapper.optimizer.learning_rate: AdamW has no option 'learning_rate'"),
    (lambda cfg: cfg.optim_wrapper.update(clip_gard=None),
     "optim_wrapper.clip_gard: .*OptimWrapper has no option.*Did you mean 'clip_grad'"),
    (lambda cfg: cfg.param_scheduler[1].update(pwer=0.9), "param_scheduler.1.pwer: .*'power'"),
    (lambda cfg: cfg.train_cfg.update(max_iter=3), "train_cfg.max_iter: .*'max_iters'"),
    (lambda cfg: cfg.val_dataloader.sampler.update(shufle=True),
     "val_dataloader.sampler.shufle: .*'shuffle'"),
])
def test_unknown_options(config: Config, change: Callable, message: str) -> None:
    prepare_config(config)
    change(config)
    with pytest.raises(UserError, match=message):
        prepare_config(config)


@pytest.mark.parametrize('kind', ['SemanticDataset', 'mmseg.BaseSegDataset'])
def test_dataset_without_classes(config: Config, kind: str) -> None:
    config.test_dataloader.dataset = dict(type=kind, test_mode=True)
    with pytest.raises(UserError, match='test_dataloader.dataset.*metainfo=dict') as caught:
        prepare_config(config, mode='test')
    assert 'should be specified when testing' not in str(caught.value)


def test_yaml_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / 'own.yaml'
    path.write_text(f'model: !!python/object/apply:pathlib.Path.touch ["{tmp_path / "bomb"}"]\n')
    with pytest.raises(UserError, match='own.yaml .*Python objects.*python/object/apply.*line 1'):
        load_config(path)
    (tmp_path / 'child.py').write_text("_base_ = ['own.yaml']")
    with pytest.raises(UserError, match='Python objects'):
        load_config(tmp_path / 'child.py')
    assert not (tmp_path / 'bomb').exists()
    path.write_text('model: [')
    with pytest.raises(UserError, match='own.yaml .*damaged'):
        load_config(path)


def test_yaml_that_mmengine_wrote_is_read(config: Config, tmp_path: Path) -> None:
    config.model.sizes = (1, (2, 3))
    config.dump(str(tmp_path / 'dumped.yaml'))
    assert load_config(tmp_path / 'dumped.yaml').model.sizes == (1, (2, 3))


def test_configs_of_the_package_by_its_name(tmp_path: Path) -> None:
    (tmp_path / 'own.py').write_text(
        "_base_ = ['unimask::demo/mask2former_shapes.py']\ntrain_cfg = dict(max_iters=7)")
    cfg = load_config(tmp_path / 'own.py')
    assert cfg.train_cfg.max_iters == 7 and cfg.model.head.type == 'Mask2FormerHead'
    assert Config.fromfile(tmp_path / 'own.py').model == cfg.model
    assert load_config('unimask::demo/mask2former_shapes.py').model == cfg.model


def test_unknown_config_of_the_package(tmp_path: Path) -> None:
    (tmp_path / 'own.py').write_text("_base_ = ['unimask::demo/mask2former_shape.py']")
    message = "no config unimask::demo.*Did you mean 'unimask::demo/mask2former_shapes.py'"
    with pytest.raises(UserError, match=message):
        load_config(tmp_path / 'own.py')
    with pytest.raises(UserError, match=message):
        load_config('unimask::demo/mask2former_shape.py')
    (tmp_path / 'own.py').write_text("_base_ = ['mmpose::a/b.py']")
    with pytest.raises(UserError, match='own.py cannot be read'):
        load_config(tmp_path / 'own.py')


def test_a_folder_is_named_by_its_checkpoint(config: Config, tmp_path: Path) -> None:
    (tmp_path / 'iter_3.pth').touch()
    config.load_from = str(tmp_path)
    assert prepare_config(config).load_from == str(tmp_path / 'iter_3.pth')


def test_missing_weights_in_a_list_of_initializers(config: Config) -> None:
    config.model.init_cfg = [dict(type='Pretrained', checkpoint='no/where.pth')]
    with pytest.raises(UserError, match=r'model.init_cfg.0: .*no/where.pth'):
        prepare_config(config)
