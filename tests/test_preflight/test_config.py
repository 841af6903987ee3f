"""Reading, changing and preparing configs."""

from pathlib import Path

import pytest
import toy
from mmengine.config import Config

from unimask.errors import UserError
from unimask.preflight import load_config, prepare_config
from unimask.preflight.data import check_data
from unimask.registry import DATASETS


@pytest.fixture
def with_paths(config_file: Path) -> Path:
    """A config whose paths hang on ``data_root``."""
    config_file.write_text(config_file.read_text() + """
train_dataloader['dataset'].update(
    data_root=data_root, ann_file='train.json', data_prefix=dict(img='images/'))
val_dataloader['dataset'].update(
    data_root=data_root, ann_file='train.json', data_prefix=dict(img='images/'))
val_evaluator = [dict(type='ToyMetric', prefix='p'), dict(
    type='ToyMetric', collect_dir=data_root + '/collected')]
test_evaluator = val_evaluator
""")
    return config_file


def test_data_root_reaches_every_path(with_paths: Path) -> None:
    cfg = load_config(with_paths, {'data_root': '/elsewhere/'})
    assert cfg.train_dataloader.dataset.data_root == '/elsewhere/'
    assert cfg.test_dataloader.dataset.data_root == '/elsewhere/'
    assert cfg.val_evaluator[1].collect_dir == '/elsewhere/collected'


def test_missing_data_are_listed_before_anything_is_built(with_paths: Path,
                                                          tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        prepare_config(load_config(with_paths))
    text = str(caught.value)
    assert 'data/toy/train.json   (train_dataloader.dataset.ann_file)' in text
    assert 'data/toy/images/   (train_dataloader.dataset.data_prefix.img)' in text
    assert '--cfg-options data_root=FOLDER' in text
    (tmp_path / 'images').mkdir()
    with pytest.raises(UserError) as caught:
        prepare_config(load_config(with_paths, {'data_root': str(tmp_path)}))
    assert 'images' not in str(caught.value).split('Found')[0]
    (tmp_path / 'train.json').touch()
    prepare_config(load_config(with_paths, {'data_root': str(tmp_path)}))


def test_only_datasets_in_use_are_looked_for(with_paths: Path) -> None:
    prepare_config(load_config(with_paths), mode='predict')


def test_classes_come_from_the_dataset(config: Config) -> None:
    assert prepare_config(config).model.taxonomy['thing_classes'] == ['cat', 'dog']
    own = dict(classes=('a', 'b'), thing_classes=('a',))
    config.train_dataloader.dataset.metainfo = own
    config.val_dataloader.dataset.metainfo = own
    assert prepare_config(config).model.taxonomy['classes'] == ['a', 'b']


def test_different_classes_of_train_and_val_are_an_error(config: Config) -> None:
    config.train_dataloader.dataset.metainfo = dict(classes=('a', 'b'))
    with pytest.raises(UserError, match="class 0 is 'a' and 'cat'"):
        prepare_config(config)


@pytest.mark.parametrize(('key', 'hint'), [
    ('train_dataloder.batch_size', "Did you mean 'train_dataloader'"),
    ('model.fail_att', "Did you mean 'fail_at'"),
    ('val_evaluator.3.prefix', 'a list of 1 items'),
    ('optim_wrapper.optimizer.learning_rate', 'has no key'),
])
def test_option_that_nothing_reads(config_file: Path, key: str, hint: str) -> None:
    with pytest.raises(UserError, match='--cfg-options') as caught:
        load_config(config_file, {key: 1})
    assert hint in str(caught.value)


@pytest.mark.parametrize('key', [
    'load_from', 'randomness.seed', 'model.slow', 'custom_hooks.0.gamma', 'val_evaluator.0.prefix',
    'train_dataloader.dataset.indices', 'model_wrapper_cfg.find_unused_parameters'])
def test_option_that_is_not_in_the_config_but_known(config_file: Path, key: str) -> None:
    assert load_config(config_file, {key: 1})


def test_option_of_a_component_that_another_option_puts_there(config_file: Path) -> None:
    options = {'model.type': 'mmdet.MaskFormer', 'model.panoptic_head': dict(type='Any')}
    assert load_config(config_file, options).model.panoptic_head.type == 'Any'
    with pytest.raises(UserError, match="model has no key 'panoptic_hed'"):
        load_config(config_file, {**options, 'model.panoptic_hed': 1})


def test_missing_config_names_similar_ones(config_file: Path) -> None:
    with pytest.raises(UserError, match='toy_config.py'):
        load_config(config_file.with_name('toy_confg.py'))


def test_broken_config_is_explained(config_file: Path) -> None:
    config_file.write_text('model = dict(type=')
    with pytest.raises(UserError, match='cannot be read: SyntaxError'):
        load_config(config_file)


def test_unknown_component_names_similar_ones(config: Config) -> None:
    config.model.type = 'ToyModle'
    with pytest.raises(UserError, match=r"model.type: .* Did you mean 'ToyModel'"):
        prepare_config(config)


def test_unknown_option_of_a_component(config: Config) -> None:
    config.model.slowly = 1
    with pytest.raises(UserError, match=r"model.slowly: ToyModel has no option .*'slow'"):
        prepare_config(config)


def test_sync_bn_needs_several_gpus(config: Config) -> None:
    config.model.taxonomy = dict(classes=('a',))
    config.model.norm = dict(norm_cfg=dict(type='SyncBN', requires_grad=True))
    with pytest.raises(UserError, match='model.norm'):  # the toy has no such option
        prepare_config(config)
    from unimask.preflight.config import _revert_sync_bn
    _revert_sync_bn(config)
    assert config.model.norm.norm_cfg.type == 'BN'


@pytest.mark.parametrize(('given', 'amp', 'expected'), [
    ('AmpOptimWrapper', None, 'OptimWrapper'), ('AmpOptimWrapper', 'bf16', 'Bf16OptimWrapper'),
    ('OptimWrapper', 'fp16', 'OptimWrapper'), ('AmpOptimWrapper', 'off', 'OptimWrapper'),
    ('Bf16OptimWrapper', None, 'Bf16OptimWrapper')])
def test_precision_without_gpu(config: Config, monkeypatch: pytest.MonkeyPatch, given: str,
                               amp: str | None, expected: str) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    config.optim_wrapper.type = given
    config.optim_wrapper.loss_scale = 'dynamic'
    wrapper = prepare_config(config, amp=amp).optim_wrapper
    assert wrapper.type == expected
    assert 'loss_scale' not in wrapper and 'dtype' not in wrapper


def test_precision_with_gpu(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    config.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW'))
    wrapper = prepare_config(config, amp='fp16').optim_wrapper
    assert (wrapper.type, wrapper.dtype, wrapper.loss_scale) == (
        'AmpOptimWrapper', 'float16', 'dynamic')


def test_missing_weights_are_found_early(config: Config, tmp_path: Path) -> None:
    config.load_from = str(tmp_path / 'none.pth')
    with pytest.raises(UserError, match='load_from: there is no checkpoint'):
        prepare_config(config)


@pytest.mark.parametrize(('kind', 'words'), [
    ('ADE20KPanopticDataset', 'ADEChallengeData2016'), ('CamVidDataset', 'camvid.py'),
    ('mmdet.CocoDataset', 'cocodataset.org'), ('mmseg.CityscapesDataset', 'cityscapes-dataset.com'),
    ('ToyCopy', 'from a friend'), ('PanopticDataset', '')])
def test_datasets_say_where_their_data_come_from(kind: str, words: str) -> None:
    @DATASETS.register_module(force=True)
    class ToyCopy(toy.ToyData):
        SOURCE = 'from a friend'

    cfg = Config(dict(train_dataloader=dict(dataset=dict(type=kind, data_root='no/where'))))
    with pytest.raises(UserError) as caught:
        check_data(cfg, ['train_dataloader'])
    assert ('Where to get them' in str(caught.value)) == bool(words)
    assert words in str(caught.value)
