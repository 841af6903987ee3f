"""Data sets that state their classes in a file: Mapillary Vistas and ADE20K-full, end to end."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from PIL import Image
from tiny_data import write_ids, write_image, write_json

from unimask.datasets import (
    ADE20KFullSemanticDataset,
    MapillaryPanopticDataset,
    MapillarySemanticDataset,
)
from unimask.errors import UserError
from unimask.preflight import load_config, prepare_config
from unimask.registry import DATASETS, METRICS, MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
KNOWN = MapillarySemanticDataset.METAINFO
SIZE = (40, 56)


def mapillary_labels() -> list[dict]:
    """What config_v1.2.json lists; a class is a thing here that the library has as stuff."""
    things = {*KNOWN['thing_classes'], 'Curb'} - {'Bird'}
    labels = [dict(color=[number, 2, 3], instances=name in things, readable=name,
                   name=f'group--{number}', evaluate=True)
              for number, name in enumerate(KNOWN['classes'])]
    return [*labels, dict(color=[0, 0, 0], instances=False, readable='Unlabeled',
                          name='void--unlabeled', evaluate=False)]


def write_mapillary(root: Path) -> Path:
    """A tree of version 1.2: two splits, one image each; labels 2 (Curb), 64 and unlabelled."""
    write_json(root / 'config_v1.2.json', dict(labels=mapillary_labels(), version=1.1))
    values = np.full(SIZE, 65, np.uint8)
    values[:20], values[20:30] = 2, 64
    ids = np.where(values == 65, 0, values.astype(np.int64) + 1000)
    segments = [dict(id=1002, category_id=3, iscrowd=0), dict(id=1064, category_id=65, iscrowd=0)]
    categories = [dict(id=number, name=label['readable'], isthing=int(label['instances']))
                  for number, label in enumerate(mapillary_labels()[:65], start=1)]
    for split in ('training', 'validation'):
        write_image(root / split / 'images/key.jpg', *SIZE)
        label_map = root / split / 'v1.2/labels/key.png'
        label_map.parent.mkdir(parents=True)
        Image.fromarray(values).save(label_map)
        write_ids(root / split / 'v1.2/panoptic/key.png', ids)
        write_json(root / split / 'v1.2/panoptic/panoptic_2018.json', dict(
            images=[dict(id='key', file_name='key.jpg', height=SIZE[0], width=SIZE[1])],
            annotations=[dict(image_id='key', file_name='key.png', segments_info=segments)],
            categories=categories))
    return root


def write_full(root: Path) -> Path:
    """A tree as the converter makes it: labels 0, 255 and 846, and unlabelled."""
    root.mkdir(exist_ok=True)
    (root / 'classes.txt').write_text(''.join(f'thing {label}\n' for label in range(847)))
    values = np.full(SIZE, 65535, np.uint16)
    values[:10], values[10:20], values[20:30] = 0, 255, 846
    for split in ('training', 'validation'):
        write_image(root / 'images_detectron2' / split / 'ADE_1.jpg', *SIZE)
        folder = root / 'annotations_detectron2' / split
        folder.mkdir(parents=True)
        Image.fromarray(values).save(folder / 'ADE_1.tif')
    return root


def small(file: str, root: Path) -> Config:
    """A config on a tree, as for a run, with a small backbone and crop."""
    cfg = load_config(CONFIGS / file, {'data_root': str(root), 'crop_size': (64, 64)})
    cfg.model.backbone = dict(type='TimmBackbone', model_name='resnet10t')
    cfg.model.init_cfg = None
    cfg.model.neck.update(channels=32, mask_channels=32)
    cfg.model.head.update(channels=32, ffn_channels=16, num_layers=1, num_heads=2)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        for step in loader.dataset.pipeline:
            if step['type'] == 'ResizeShortestEdge':
                step.update(short_edge=64, max_long=128)
    return prepare_config(cfg, mode='train')


def train_and_test(cfg: Config) -> tuple[dict, dict]:
    """Losses of one batch, and the scores of the validation images."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    training = DATASETS.build(cfg.train_dataloader.dataset)
    batch = model.data_preprocessor(pseudo_collate([training[0]]), True)
    losses = model(**batch, mode='loss')
    sum(losses.values()).backward()
    validation = DATASETS.build(cfg.val_dataloader.dataset)
    evaluators = [METRICS.build(metric) for metric in cfg.val_evaluator]
    data = pseudo_collate([validation[0]])
    found = [sample.to_dict() for sample in model.eval().test_step(data)]
    scores = {}
    for metric in evaluators:
        metric.dataset_meta = validation.metainfo
        metric.process(data, found)
        scores |= metric.evaluate(len(validation))
    return losses, scores


@pytest.mark.parametrize('file', [
    'maskformer/r50_8xb2_ade20k-full.py',
    'maskformer/r50_8xb2_ade20k-full-per-pixel-baseline-plus.py'])
def test_ade20k_full_end_to_end(file: str, tmp_path: Path) -> None:
    cfg = small(file, write_full(tmp_path / 'full'))
    assert cfg.model.taxonomy['classes'][:2] == ['thing 0', 'thing 1']
    losses, scores = train_and_test(cfg)
    assert all(value.isfinite() for value in losses.values())
    assert 0 <= scores['semantic/mIoU'] <= 100
    item = DATASETS.build(cfg.val_dataloader.dataset)[0]['data_samples'].gt_sem_seg
    assert item.sem_seg.unique().tolist() == [0, 255, 846, 65535] and item.ignore_index == 65535


@pytest.mark.parametrize('file', [
    'maskformer/r50_8xb2_mapillary-semantic.py', 'mask2former/r50_8xb2_mapillary-panoptic.py'])
def test_mapillary_end_to_end(file: str, tmp_path: Path) -> None:
    cfg = small(file, write_mapillary(tmp_path))
    assert 'Curb' in cfg.model.taxonomy['thing_classes']
    assert cfg.model.taxonomy['palette'][5] == [5, 2, 3]
    losses, scores = train_and_test(cfg)
    assert all(value.isfinite() for value in losses.values())
    assert 0 <= scores['semantic/mIoU'] <= 100
    sample = DATASETS.build(cfg.val_dataloader.dataset)[0]['data_samples']
    if 'gt_panoptic_seg' in sample:
        segments = sample.gt_panoptic_seg.segments_info
        assert [(each['category'], each['isthing']) for each in segments] == [
            (2, True), (64, False)]
    else:
        assert sample.gt_sem_seg.sem_seg.unique().tolist() == [2, 64, 255]


@pytest.mark.parametrize(('file', 'write', 'name'), [
    ('maskformer/r50_8xb2_ade20k-full.py', write_full, 'classes.txt'),
    ('mask2former/r50_8xb2_mapillary-panoptic.py', write_mapillary, 'config_v1.2.json')])
def test_a_missing_list_is_named_before_a_run(file: str, write: object, name: str,
                                              tmp_path: Path) -> None:
    root = write(tmp_path / 'data')
    (root / name).unlink()
    with pytest.raises(UserError, match=rf'{name}.*classes of train_dataloader\.dataset'):
        small(file, root)
    options = Config.fromfile(CONFIGS / file).train_dataloader.dataset
    with pytest.raises(UserError, match=rf'data/{name} is not there, which names the classes'):
        DATASETS.build(options | dict(data_root=str(root)))


def test_stated_classes_need_no_list(tmp_path: Path) -> None:
    root = write_full(tmp_path / 'full')
    (root / 'classes.txt').unlink()
    names = tuple(f'mine {label}' for label in range(900))
    dataset = ADE20KFullSemanticDataset(
        data_root=str(root), metainfo=dict(classes=names), seg_map_suffix='.tif',
        data_prefix=dict(img_path='images_detectron2/training',
                         seg_map_path='annotations_detectron2/training'),
        pipeline=[dict(type='LoadSemanticMap', ignore_index=65535)])
    assert np.unique(dataset[0]['gt_seg_map']).tolist() == [0, 255, 846, 65535]
    assert dataset.metainfo['classes'] == names


@pytest.mark.parametrize(('content', 'hint'), [
    ('', 'empty'), ('wall\nsky\nwall\n', r"\['wall'\] more than once")])
def test_a_list_of_names_that_cannot_be_right(content: str, hint: str, tmp_path: Path) -> None:
    root = write_full(tmp_path / 'full')
    (root / 'classes.txt').write_text(content)
    dataset = ADE20KFullSemanticDataset(data_root=str(root), lazy_init=True)
    with pytest.raises(UserError, match=rf'classes\.txt.*{hint}'):
        _ = dataset.metainfo


def test_a_mapillary_configuration_that_cannot_be_right(tmp_path: Path) -> None:
    file = tmp_path / 'config_v1.2.json'
    dataset = MapillarySemanticDataset(data_root=str(tmp_path), lazy_init=True)
    for content, hint in (('{', 'JSONDecodeError'), ('{"classes": 3}', "KeyError: 'labels'"),
                          (json.dumps(dict(labels=mapillary_labels()[::-1])), 'come before')):
        file.write_text(content)
        with pytest.raises(UserError, match=rf'config_v1\.2\.json does not.*{hint}'):
            _ = dataset.metainfo


def test_mapillary_ignores_unlabelled(tmp_path: Path) -> None:
    options = dict(
        data_root=str(write_mapillary(tmp_path)),
        data_prefix=dict(img_path='training/images', seg_map_path='training/v1.2/labels'))
    step = dict(type='LoadSemanticMap')
    dataset = MapillarySemanticDataset(**options, pipeline=[step | dict(void_labels=(65,))])
    assert np.unique(dataset[0]['gt_seg_map']).tolist() == [2, 64, 255]
    with pytest.raises(UserError, match=r'values \[65\]'):
        MapillarySemanticDataset(**options, pipeline=[step])


def test_without_the_data_the_library_knows_the_things() -> None:
    assert len(MapillaryPanopticDataset.METAINFO['thing_classes']) == 37
    assert len(ADE20KFullSemanticDataset.METAINFO['classes']) == 847
