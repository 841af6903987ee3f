"""Semantic datasets: what they list, and missing files."""

import numpy as np
import pytest
from PIL import Image
from tiny_data import write_image, write_semantic

from unimask.datasets import (
    ADE20KSemanticDataset,
    CamVidDataset,
    SemanticDataset,
    transforms,
)
from unimask.errors import UserError
from unimask.registry import DATASETS

METAINFO = dict(classes=('a', 'b', 'c'))
PIPELINE = [dict(type='LoadImage'), dict(type='LoadSemanticMap')]
LABELS = np.array([[0, 1], [2, 255], [1, 1]], np.uint8)


def test_items(tmp_path):
    dataset = SemanticDataset(**write_semantic(tmp_path, LABELS), metainfo=METAINFO)
    item = dataset[0]
    assert (item['img_id'], item['num_classes']) == ('a', 3)


def test_label_outside_the_classes_names_file_and_value(tmp_path):
    labels = LABELS.copy()
    labels[2, 0] = 7
    with pytest.raises(UserError, match=r'seg/a\.png has the values \[7\].*3 classes'):
        SemanticDataset(**write_semantic(tmp_path, labels), metainfo=METAINFO, pipeline=PIPELINE)


def test_missing_files(tmp_path):
    options = write_semantic(tmp_path, LABELS)
    with pytest.raises(UserError, match=r'nowhere.*`data_prefix\.seg_map_path`'):
        SemanticDataset(**options | dict(data_prefix=dict(img_path='img', seg_map_path='nowhere')),
                        metainfo=METAINFO)
    with pytest.raises(UserError, match=r'list\.txt.*`ann_file`'):
        SemanticDataset(**options, ann_file='list.txt', metainfo=METAINFO)
    Image.new('RGB', (2, 3)).save(tmp_path / 'img/b.jpg')
    with pytest.raises(UserError, match=r'seg/b\.png'):
        SemanticDataset(**options, metainfo=METAINFO)
    with pytest.raises(UserError, match=r'no images \*\.tif'):
        SemanticDataset(**options, img_suffix='.tif', metainfo=METAINFO)


def test_label_maps_without_images_are_told(tmp_path, notes):
    """Images that were unpacked only in part would else go unnoticed."""
    options = write_semantic(tmp_path, LABELS)
    SemanticDataset(**options, metainfo=METAINFO)
    assert 'no image' not in notes.warnings
    for name in ('b.png', 'c.png', 'b.txt'):
        (tmp_path / 'seg' / name).write_bytes((tmp_path / 'seg/a.png').read_bytes())
    SemanticDataset(**options, metainfo=METAINFO)
    assert '2 of 3 label maps of' in notes.warnings and 'seg/b.png' in notes.warnings
    assert 'unpacked only in part' in notes.warnings
    (tmp_path / 'list.txt').write_text('a')
    before = notes.warnings
    SemanticDataset(**options, metainfo=METAINFO, ann_file='list.txt')
    assert notes.warnings == before


def test_ade20k_counts_from_one(shared_data, tmp_path):
    root = shared_data / 'ade_sample'
    dataset = ADE20KSemanticDataset(
        data_root=str(root), data_prefix=dict(img_path='images', seg_map_path='annotations'),
        pipeline=PIPELINE)
    assert len(dataset) == 3
    for i in range(3):
        item = dataset[i]
        raw = np.asarray(Image.open(item['seg_map_path'])).astype(int)
        expected = np.where(raw == 0, 255, raw - 1)
        np.testing.assert_array_equal(item['gt_seg_map'], expected)
        assert item['gt_seg_map'].dtype == np.uint8


def test_camvid(shared_data):
    dataset = CamVidDataset(
        data_root=str(shared_data / 'camvid'), pipeline=PIPELINE,
        data_prefix=dict(img_path='images/val', seg_map_path='annotations/val'))
    assert len(dataset) == 101
    labels = np.unique(dataset[0]['gt_seg_map'])
    assert set(labels) <= {*range(11), 255}


def test_names_are_registered():
    for name in ('SemanticDataset', 'CamVidDataset', 'PennFudanDataset', 'PanopticDataset'):
        assert DATASETS.get(name).__module__.startswith('unimask.')


def _more_images(root, *names: str) -> None:
    for name in names:
        Image.new('RGB', (2, 3)).save(root / f'img/{name}')
        Image.fromarray(LABELS).save((root / f'seg/{name}').with_suffix('.png'))


def test_other_spellings_of_the_suffix_are_used(tmp_path, notes):
    options = write_semantic(tmp_path, LABELS)
    _more_images(tmp_path, 'b.jpeg', 'c.JPG')
    dataset = SemanticDataset(**options, metainfo=METAINFO, pipeline=PIPELINE)
    assert [dataset[i]['img_id'] for i in range(len(dataset))] == ['a', 'b', 'c']
    assert [dataset[i]['seg_map_path'][-5:] for i in range(3)] == ['a.png', 'b.png', 'c.png']
    assert notes.warnings == ''


def test_pictures_with_another_suffix_are_named(tmp_path, notes):
    options = write_semantic(tmp_path, LABELS)
    _more_images(tmp_path, 'b.png', 'c.bmp')
    assert len(SemanticDataset(**options, metainfo=METAINFO)) == 1
    assert '2 pictures of' in notes.warnings
    assert '(key `img_suffix`): b.png, c.bmp. 1 are used' in notes.warnings


def test_no_picture_with_the_suffix(tmp_path):
    options = write_semantic(tmp_path, LABELS)
    with pytest.raises(UserError, match=r'no images \*\.png, but 1 other pictures \(a\.jpg\)'):
        SemanticDataset(**options, img_suffix='.png', metainfo=METAINFO)


def test_label_maps_beside_the_images_are_no_images(tmp_path, notes):
    write_image(tmp_path / 'a.jpg', 3, 2)
    Image.fromarray(LABELS).save(tmp_path / 'a.png')
    (tmp_path / 'deep').mkdir()
    Image.fromarray(LABELS).save(tmp_path / 'deep/a.png')
    for maps in ('', 'deep'):
        dataset = SemanticDataset(
            data_root=str(tmp_path), metainfo=METAINFO,
            data_prefix=dict(img_path='', seg_map_path=maps))
        assert len(dataset) == 1
    assert notes.warnings.count('not used') == 1  # a.png, where maps are in `deep`


def test_list_of_images_keeps_its_order(tmp_path):
    options = write_semantic(tmp_path, LABELS)
    _more_images(tmp_path, 'b.jpg')
    (tmp_path / 'list.txt').write_text('b\n\na\n')
    dataset = SemanticDataset(**options, ann_file='list.txt', metainfo=METAINFO)
    assert [dataset[i]['img_id'] for i in range(len(dataset))] == ['b', 'a']
    (tmp_path / 'list.txt').write_text('\n')
    with pytest.raises(UserError, match=r'list\.txt.*is empty'):
        SemanticDataset(**options, ann_file='list.txt', metainfo=METAINFO)


def test_folders_that_are_not_stated(tmp_path):
    options = write_semantic(tmp_path, LABELS) | dict(data_prefix=dict(img='img', seg='seg'))
    with pytest.raises(UserError, match=r"`data_prefix` has no \['img_path'\]"):
        SemanticDataset(**options, metainfo=METAINFO)


def test_components_say_of_themselves_what_others_need_to_know():
    """Where data come from, and which steps of a pipeline need annotation."""
    for name, part in (('CamVidDataset', 'camvid.py'), ('CocoPanopticDataset', 'cocodataset.org'),
                       ('ADE20KInstanceDataset', 'ade20k_things.py'),
                       ('ShapesSemanticDataset', 'make_shapes.py'),
                       ('CityscapesSemanticDataset', 'cityscapes.py'),
                       ('MapillaryPanopticDataset', 'mapillary.com'),
                       ('PennFudanDataset', 'pennfudan.py')):
        assert part in DATASETS.get(name).SOURCE
    assert not SemanticDataset.SOURCE and not DATASETS.get('InstanceDataset').SOURCE
    readers = {name for name in transforms.__all__
               if getattr(getattr(transforms, name), 'reads_annotation', False)}
    assert readers == {'LoadInstances', 'LoadPanopticMap', 'LoadSemanticMap'}
