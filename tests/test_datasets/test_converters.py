"""The converters: tiny downloads in, data sets that our dataset classes load out."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from tiny_data import write_image

from unimask.datasets import (
    ADE20KInstanceDataset,
    ADE20KPanopticDataset,
    CamVidDataset,
    CityscapesInstanceDataset,
    CityscapesPanopticDataset,
    CityscapesSemanticDataset,
    PennFudanDataset,
)
from unimask.errors import UserError

FOLDER = Path(__file__).resolve().parents[2] / 'tools/dataset_converters'
PANOPTIC = [dict(type='LoadImage'), dict(type='LoadPanopticMap')]
SEMANTIC = [dict(type='LoadImage'), dict(type='LoadSemanticMap')]
INSTANCE = [dict(type='LoadImage'), dict(type='LoadInstances', keep_crowd=True)]


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f'converter_{name}', FOLDER / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def test_ade20k(tmp_path):
    labels = np.zeros((6, 8), np.uint8)
    labels[:3], labels[3:, 2:] = 1, 13  # wall; person
    instances = np.zeros((6, 8, 3), np.uint8)
    instances[3:, 2:5] = (4, 1, 0)  # the fourth thing is a person
    instances[2:, 5:] = (4, 2, 0)   # reaches over the wall
    for split in ('training', 'validation'):
        write_image(tmp_path / f'images/{split}/a.jpg')
        _save(tmp_path / f'annotations/{split}/a.png', labels)
        _save(tmp_path / f'annotations_instance/{split}/a.png', instances)
    assert _tool('ade20k_things').main([str(tmp_path)]) == 0
    options = dict(data_root=str(tmp_path))
    item = ADE20KPanopticDataset(
        **options, ann_file='ade20k_panoptic_val.json', pipeline=PANOPTIC,
        data_prefix=dict(img='images/validation', seg='ade20k_panoptic_val'))[0]
    assert [s['category'] for s in item['segments_info']] == [0, 12, 12]
    assert [s['isthing'] for s in item['segments_info']] == [False, True, True]
    expected = np.where(labels == 1, 1, 0)
    expected[3:, 2:5], expected[2:, 5:] = 2, 3
    np.testing.assert_array_equal(item['gt_seg_map'], expected)
    item = ADE20KInstanceDataset(
        **options, ann_file='ade20k_instance_train.json', pipeline=INSTANCE,
        data_prefix=dict(img='images/training'))[0]
    assert [ADE20KInstanceDataset.METAINFO['classes'][i] for i in item['gt_bboxes_labels']] == [
        'person', 'person']
    assert item['gt_masks'].to_ndarray().sum(axis=(1, 2)).tolist() == [9, 12]
    (tmp_path / 'annotations_instance/validation/a.png').unlink()
    write_image(tmp_path / 'annotations_instance/validation/b.png')
    with pytest.raises(UserError, match='lacks 1 of 1 files, e.g. a.png.*unpacked in part'):
        _tool('ade20k_things').main([str(tmp_path)])


def test_cityscapes(tmp_path):
    ids = np.zeros((6, 8), np.uint16)
    ids[:2], ids[2:4, :4], ids[2:4, 4:], ids[4:, :4], ids[4:, 4:] = 7, 24_001, 24_000, 26, 4
    for split in ('train', 'val'):
        stem = f'ulm/ulm_000000_00000{len(split)}'
        write_image(tmp_path / f'leftImg8bit/{split}/{stem}_leftImg8bit.png')
        base = tmp_path / f'gtFine/{split}/{stem}_gtFine'
        _save(Path(f'{base}_instanceIds.png'), ids)
        _save(Path(f'{base}_labelIds.png'),
              np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8))
    assert _tool('cityscapes').main([str(tmp_path)]) == 0
    options = dict(data_root=str(tmp_path))
    panoptic = CityscapesPanopticDataset(
        **options, ann_file='gtFine/cityscapes_panoptic_val_trainId.json', pipeline=PANOPTIC,
        data_prefix=dict(img='leftImg8bit/val', seg='gtFine/cityscapes_panoptic_val_trainId'))[0]
    assert [(s['category'], s['iscrowd']) for s in panoptic['segments_info']] == [
        (0, False), (13, True), (11, False), (11, False)]  # road, cars, two persons
    semantic = CityscapesSemanticDataset(
        **options, pipeline=SEMANTIC,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'))[0]
    assert np.unique(semantic['gt_seg_map']).tolist() == [0, 11, 13, 255]
    classes = np.array([255] + [s['category'] for s in panoptic['segments_info']])
    np.testing.assert_array_equal(classes[panoptic['gt_seg_map']], semantic['gt_seg_map'])
    item = CityscapesInstanceDataset(
        **options, ann_file='annotations/instancesonly_filtered_gtFine_train.json',
        pipeline=INSTANCE, data_prefix=dict(img='leftImg8bit/train'))[0]
    assert item['gt_bboxes_labels'].tolist() == [2, 0, 0]
    assert item['gt_ignore_flags'].tolist() == [True, False, False]
    with pytest.raises(UserError, match='gtFine_trainvaltest.zip'):
        _tool('cityscapes').main([str(tmp_path / 'nowhere')])
    write_image(tmp_path / 'leftImg8bit/val/ulm/ulm_000001_000019_leftImg8bit.png')
    with pytest.raises(UserError, match='1 of 2 images of val, e.g. of ulm_000001_000019_left'):
        _tool('cityscapes').main([str(tmp_path)])


def test_camvid(tmp_path):
    labels = np.array([[0, 10, 11], [5, 5, 5]], np.uint8)
    for split in ('train', 'val', 'test'):
        write_image(tmp_path / f'src/{split}/a.png', 2, 3)
        _save(tmp_path / f'src/{split}annot/a.png', labels)
    assert _tool('camvid').main([str(tmp_path / 'src'), str(tmp_path / 'dst')]) == 0
    item = CamVidDataset(
        data_root=str(tmp_path / 'dst'), pipeline=SEMANTIC,
        data_prefix=dict(img_path='images/test', seg_map_path='annotations/test'))[0]
    assert item['gt_seg_map'].tolist() == [[0, 10, 255], [5, 5, 5]]
    _save(tmp_path / 'src/valannot/a.png', labels + 9)
    with pytest.raises(UserError, match='valannot/a.png has the value 20'):
        _tool('camvid').main([str(tmp_path / 'src'), str(tmp_path / 'dst')])


def test_pennfudan(tmp_path):
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 1:3], mask[4:, 5:] = 1, 2
    for number in range(52):
        write_image(tmp_path / f'src/PNGImages/p{number:03}.png')
        _save(tmp_path / f'src/PedMasks/p{number:03}_mask.png', mask)
    assert _tool('pennfudan').main([str(tmp_path / 'src'), str(tmp_path / 'dst')]) == 0
    sizes = {}
    for split in ('train', 'val'):
        dataset = PennFudanDataset(
            data_root=str(tmp_path / 'dst'), ann_file=f'annotations/instances_{split}.json',
            data_prefix=dict(img=f'images/{split}'), pipeline=INSTANCE)
        sizes[split] = len(dataset)
        masks = dataset[0]['gt_masks'].to_ndarray()
        np.testing.assert_array_equal(masks[0] + 2 * masks[1], mask)
    assert sizes == dict(train=2, val=50)
    with pytest.raises(UserError, match='has 0 photos'):
        _tool('pennfudan').main([str(tmp_path), str(tmp_path / 'dst')])


def test_pennfudan_split_is_the_known_one(shared_data, tmp_path):
    names = sorted(p.stem for p in (shared_data / 'pennfudan/images').glob('*/*.jpg'))
    (tmp_path / 'PNGImages').mkdir()
    for name in names:
        (tmp_path / f'PNGImages/{name}.png').touch()
    splits = _tool('pennfudan').splits_of(tmp_path)
    for split, photos in splits.items():
        assert {name for _, name in photos} == {
            p.stem for p in (shared_data / f'pennfudan/images/{split}').glob('*.jpg')}


@pytest.mark.parametrize('path', sorted(FOLDER.glob('*.py')), ids=lambda path: path.stem)
def test_help(path, capsys):
    with pytest.raises(SystemExit) as stop:
        _tool(path.stem).main(['--help'])
    assert stop.value.code == 0
    assert 'usage' in capsys.readouterr().out
