"""One key of a config, or one option, reaches every place that it decides."""

from pathlib import Path

import pytest
from mmengine.config import Config

from unimask.errors import UserError
from unimask.preflight import load_config, prepare_config
from unimask.registry import TRANSFORMS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
FILES = sorted(path.relative_to(CONFIGS) for path in CONFIGS.glob('*/*.py')
               if path.parts[-2] != '_base_')
ADE = 'mask2former/r50_8xb2_ade20k.py'
COCO = 'mask2former/r50_8xb2_coco-panoptic.py'
CAMVID = 'mask2former/tf-efficientnet-lite0_1xb2_camvid.py'
DETR = 'maskformer/r50_64xb1_coco-panoptic.py'
SHAPES = 'demo/mask2former_shapes.py'


def steps(cfg: Config, kind: str) -> list[dict]:
    return [step for step in cfg.train_dataloader.dataset.pipeline if step.type == kind]


def crop(cfg: Config) -> object:
    """The size that every step of the pipeline has which is built for the crop."""
    built = [TRANSFORMS.build(step) for step in cfg.train_dataloader.dataset.pipeline]
    (size,) = {step.size for step in built if hasattr(step, 'crop_option')}
    return size


def read(cfg: Config, key: str) -> object:
    for part in key.split('.'):
        cfg = cfg[int(part)] if part.isdigit() else cfg[part]
    return cfg


CASES = [
    (ADE, 'crop_size', (320, 448), crop, (320, 448)),
    (ADE, 'crop_size', 320, crop, (320, 320)),
    (COCO, 'crop_size', 512, crop, 512),
    (COCO, 'crop_size', (512, 512), crop, 512),
    (ADE, 'batch_size', 5, 'train_dataloader.batch_size', 5),
    (ADE, 'batch_size', 5, 'val_dataloader.batch_size', 1),
    (ADE, 'max_iters', 300, 'train_cfg.max_iters', 300),
    (ADE, 'max_iters', 300, 'train_cfg.val_interval', 5000),
    (CAMVID, 'max_iters', 300, 'train_cfg.val_interval', 300),
    (CAMVID, 'max_iters', 300, 'param_scheduler.0.end', 50),
    (COCO, 'max_iters', 300, 'param_scheduler.0.milestones', [327778, 355092]),
    *[(COCO, 'data_root', '/d', key, '/d') for key in (
        'train_dataloader.dataset.data_root', 'val_dataloader.dataset.data_root',
        'test_dataloader.dataset.data_root', 'val_evaluator.1.data_root',
        'test_evaluator.1.data_root')],
]


@pytest.mark.parametrize('way', ['file', 'option', 'option for a saved config'])
@pytest.mark.parametrize(('base', 'name', 'value', 'place', 'expected'), CASES)
def test_one_key_reaches_its_places(base: str, name: str, value: object, place: object,
                                    expected: object, way: str, tmp_path: Path) -> None:
    own = tmp_path / 'own.py'
    if way == 'file':
        own.write_text(f'_base_ = {str(CONFIGS / base)!r}\n{name} = {value!r}\n')
        cfg = load_config(own)
    elif way == 'option':
        cfg = load_config(CONFIGS / base, {name: value})
    else:
        load_config(CONFIGS / base).dump(own)  # as in the folder of a training
        cfg = load_config(own, {name: value})
    found = place(cfg) if callable(place) else read(cfg, place)
    assert found == expected
    assert cfg[name] == value


@pytest.mark.parametrize('file', FILES, ids=str)
def test_published_configs_need_no_help(file: Path) -> None:
    assert load_config(CONFIGS / file).to_dict() == Config.fromfile(CONFIGS / file).to_dict()


def test_what_a_file_states_itself_stays(tmp_path: Path) -> None:
    own = tmp_path / 'own.py'
    own.write_text(f"""
_base_ = {str(CONFIGS / COCO)!r}
data_root = '/train'
batch_size = 8
val_dataloader = dict(dataset=dict(data_root='/val'))
train_dataloader = dict(batch_size=3)
""")
    cfg = load_config(own)
    assert cfg.train_dataloader.dataset.data_root == '/train'
    assert cfg.val_dataloader.dataset.data_root == '/val'
    assert cfg.val_evaluator[1].data_root == '/train'
    assert cfg.train_dataloader.batch_size == 3
    cfg = load_config(own, {'data_root': '/d', 'val_dataloader.dataset.data_root': '/e'})
    assert cfg.train_dataloader.dataset.data_root == '/d'
    assert cfg.val_dataloader.dataset.data_root == '/e'


def test_a_pipeline_of_ones_own_stays(tmp_path: Path) -> None:
    own = tmp_path / 'own.py'
    own.write_text(f"""
_base_ = {str(CONFIGS / ADE)!r}
crop_size = (256, 256)
train_pipeline = [dict(type='LoadImage'), dict(type='LoadSemanticMap'),
                  dict(type='RandomCrop', size=(100, 200)), dict(type='PackSegInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
""")
    assert crop(load_config(own)) == (100, 200)


def test_settings_through_several_files(tmp_path: Path) -> None:
    first, second = tmp_path / 'first.py', tmp_path / 'second.py'
    first.write_text(f'_base_ = {str(CONFIGS / ADE)!r}\ncrop_size = (640, 640)\nmax_iters = 70\n')
    second.write_text("_base_ = './first.py'\nmax_iters = 80\n")
    cfg = load_config(second)
    assert crop(cfg) == (640, 640)
    assert cfg.train_cfg.max_iters == 80
    second.write_text("_base_ = ['./first.py']\ncrop_size = 320\n")
    cfg = load_config(second)
    assert crop(cfg) == (320, 320)
    assert cfg.train_cfg.max_iters == 70


def test_only_what_is_as_large_as_the_crop_follows_it() -> None:
    cfg = load_config(CONFIGS / SHAPES, {'crop_size': 96})
    assert steps(cfg, 'RandomCrop')[0].size == (96, 96)
    assert steps(cfg, 'LargeScaleJitter')[0].size == 160


def test_paths_of_metrics_below_the_data_follow(tmp_path: Path) -> None:
    own = tmp_path / 'own.py'
    own.write_text(f"""
_base_ = {str(CONFIGS / ADE)!r}
val_evaluator = [dict(type='MaskAPMetric', ann_file='data/ADEChallengeData2016/sub/a.json'),
                 dict(type='MaskAPMetric', ann_file='data/ADEChallengeData2016-b/a.json')]
""")
    cfg = load_config(own, {'data_root': '/d/'})
    assert [metric.ann_file for metric in cfg.val_evaluator] == [
        '/d/sub/a.json', 'data/ADEChallengeData2016-b/a.json']


def test_a_missing_file_of_a_metric_is_named_with_its_folder(tmp_path: Path) -> None:
    cfg = load_config(CONFIGS / COCO, {'data_root': str(tmp_path)})
    with pytest.raises(UserError) as caught:
        prepare_config(cfg, mode='val')
    assert f'{tmp_path}/annotations/instances_val2017.json   (val_evaluator.1.ann_file)' in str(
        caught.value)


@pytest.mark.parametrize(('base', 'name', 'value', 'hint'), [
    (DETR, 'crop_size', 512, 'changes nothing'),
    (COCO, 'crop_size', (512, 640), 'edge of a square'),
    (ADE, 'crop_size', 'large', 'a number of pixels or two'),
    (ADE, 'crop_size', (1, 2, 3), 'a number of pixels or two'),
    (ADE, 'batch_size', 0, 'at least 1'),
    (ADE, 'max_iters', '3k', 'at least 1'),
    (ADE, 'train_cfg.max_iters', 2.5, 'at least 1'),
    (ADE, 'data_root', 3, 'name of a folder'),
    (ADE, 'crop_sise', 3, "Did you mean 'crop_size'"),
    (ADE, 'encoder.backbone.depth', 101, r'Change model\.backbone'),
    (ADE, 'train_pipeline.3.size', 3, r'Change train_dataloader\.dataset\.pipeline'),
])
def test_mistakes_are_explained(base: str, name: str, value: object, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        load_config(CONFIGS / base, {name: value})


def test_a_mistake_in_a_file_is_explained(tmp_path: Path) -> None:
    own = tmp_path / 'own.py'
    own.write_text(f'_base_ = {str(CONFIGS / ADE)!r}\nmax_iters = "3k"\n')
    with pytest.raises(UserError, match='at least 1'):
        load_config(own)
