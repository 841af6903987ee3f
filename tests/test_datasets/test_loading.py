"""Loading of annotations: exact maps and clear errors."""

import numpy as np
import pytest
from PIL import Image
from tiny_data import (
    SEGMENTS,
    id_map,
    panoptic_content,
    write_ids,
    write_image,
    write_instances,
    write_panoptic,
)

from unimask.datasets import InstanceDataset, PanopticDataset
from unimask.datasets.transforms import (
    LoadImage,
    LoadInstances,
    LoadPanopticMap,
    LoadSemanticMap,
    loading,
)
from unimask.datasets.transforms.io import read_segment_ids
from unimask.errors import UserError

LOAD = [dict(type='LoadImage'), dict(type='LoadPanopticMap')]


def test_id_map_is_exact(tmp_path):
    item = PanopticDataset(**write_panoptic(tmp_path), pipeline=LOAD)[0]
    ids = id_map()
    assert item['gt_seg_map'].dtype == np.int32
    for number, segment in enumerate(SEGMENTS, start=1):
        np.testing.assert_array_equal(item['gt_seg_map'] == number, ids == segment['id'])
    assert [s['id'] for s in item['segments_info']] == [1, 2, 3]


def test_id_map_of_real_data(shared_data):
    root = shared_data / 'coco_mini'
    dataset = PanopticDataset(
        data_root=str(root), ann_file='annotations/panoptic_val.json',
        data_prefix=dict(img='images/val', seg='annotations/panoptic_val'))
    for index in range(0, len(dataset), 10):
        raw = dataset.get_data_info(index)
        item = LoadPanopticMap()(LoadImage()(dataset.get_data_info(index)))
        ids = read_segment_ids(raw['seg_map_path'])
        lookup = np.array([0] + [s['id'] for s in raw['segments_info']])
        np.testing.assert_array_equal(lookup[item['gt_seg_map']], ids)


def test_no_segments(tmp_path):
    item = PanopticDataset(**write_panoptic(tmp_path), pipeline=LOAD)[1]
    assert item['segments_info'] == []
    assert not item['gt_seg_map'].any()


def test_unused_class_becomes_void(tmp_path):
    dataset = PanopticDataset(**write_panoptic(tmp_path), pipeline=LOAD,
                              metainfo=dict(classes=('sky',), thing_classes=()))
    item = dataset[0]
    assert [s['id'] for s in item['segments_info']] == [3]
    np.testing.assert_array_equal(item['gt_seg_map'], np.where(id_map() == 300, 3, 0))


def test_segment_without_pixels_stays(tmp_path):
    content = panoptic_content()
    content['annotations'][0]['segments_info'] = [
        *SEGMENTS, dict(id=999, category_id=7, iscrowd=0)]
    item = PanopticDataset(**write_panoptic(tmp_path, content), pipeline=LOAD)[0]
    assert len(item['segments_info']) == 4
    assert not (item['gt_seg_map'] == 4).any()


def test_stray_ids_become_void_with_one_warning(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(loading, '_reported', [])
    dataset = PanopticDataset(**write_panoptic(tmp_path), pipeline=LOAD)
    ids = id_map()
    ids[0, 0] = 4242
    write_ids(tmp_path / 'seg/1.png', ids)
    item = dataset[0]
    assert item['gt_seg_map'][0, 0] == 0
    assert dataset[0]['gt_seg_map'][0, 0] == 0
    messages = [str(w.message) for w in recwarn if '4242' in str(w.message)]
    assert len(messages) == 1
    assert 'seg/1.png' in messages[0]


def test_png_of_another_image(tmp_path):
    dataset = PanopticDataset(**write_panoptic(tmp_path), pipeline=LOAD)
    write_ids(tmp_path / 'seg/1.png', np.full((6, 8), 31))
    with pytest.raises(UserError, match=r'seg/1\.png.*different images'):
        dataset[0]
    write_ids(tmp_path / 'seg/1.png', id_map()[:, :5])
    with pytest.raises(UserError, match=r'seg/1\.png is \(6, 5\).*img/1\.png is \(6, 8\)'):
        dataset[0]


def test_segments_without_crowd_flags():
    segments = [dict(id=1, category=0, is_thing=True)]
    with pytest.raises(UserError):
        LoadPanopticMap()(dict(seg_map_path='nowhere.png', segments_info=segments))


def test_mmdet_panoptic_dataset_is_refused(tmp_path):
    write_ids(tmp_path / 'a.png', id_map())
    segments = [dict(id=5, category=0, is_thing=True)]
    with pytest.raises(UserError, match='PanopticDataset'):
        LoadPanopticMap()(dict(seg_map_path=str(tmp_path / 'a.png'), segments_info=segments))


def test_image_of_another_size(tmp_path):
    dataset = PanopticDataset(**write_panoptic(tmp_path), pipeline=LOAD)
    write_image(tmp_path / 'img/1.png', 9, 8)
    with pytest.raises(UserError, match=r'img/1\.png is \(9, 8\).*\(6, 8\)'):
        dataset[0]


def test_exif_follows_the_annotated_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = str(tmp_path / 'a.png')
    Image.new('RGB', (8, 6)).save(path, exif=exif)
    assert LoadImage()(dict(img_path=path))['img'].shape == (8, 6, 3)
    stated = LoadImage()(dict(img_path=path, height=6, width=8))
    assert stated['img'].shape == (6, 8, 3)
    assert stated['ori_shape'] == (6, 8)


def _semantic(tmp_path, values, loader, **results):
    path = str(tmp_path / 'labels.png')
    Image.fromarray(np.array(values)).save(path)
    return loader(dict(seg_map_path=path, **results))


def test_reduce_zero_label(tmp_path):
    values = np.array([[0, 1, 150, 255]], np.uint8)
    loaded = _semantic(tmp_path, values, LoadSemanticMap(), reduce_zero_label=True,
                       num_classes=150)
    assert loaded['gt_seg_map'].tolist() == [[255, 0, 149, 255]]
    with pytest.raises(UserError, match=r'labels\.png has the values \[151\]'):
        _semantic(tmp_path, np.array([[151]], np.uint8), LoadSemanticMap(),
                  reduce_zero_label=True, num_classes=150)


def test_label_map_and_other_ignore_index(tmp_path):
    values = np.array([[0, 1, 2, 9]], np.uint8)
    loaded = _semantic(tmp_path, values, LoadSemanticMap(ignore_index=9),
                       label_map={0: 1, 1: 0, 2: 255}, num_classes=2)
    assert loaded['gt_seg_map'].tolist() == [[1, 0, 9, 9]]
    assert loaded['ignore_index'] == 9


def test_more_classes_than_a_byte(tmp_path):
    values = np.array([[0, 846, 65535]], np.uint16)
    loaded = _semantic(tmp_path, values, LoadSemanticMap(ignore_index=65535), num_classes=847)
    assert loaded['gt_seg_map'].tolist() == [[0, 846, 65535]]
    assert loaded['gt_seg_map'].dtype == np.int32


def test_all_pixels_ignored(tmp_path):
    values = np.full((2, 2), 255, np.uint8)
    loaded = _semantic(tmp_path, values, LoadSemanticMap(), num_classes=3)
    assert (loaded['gt_seg_map'] == 255).all()


def test_crowds_on_demand(tmp_path):
    item = InstanceDataset(**write_instances(tmp_path))[0] | dict(ori_shape=(6, 8))
    assert LoadInstances()(dict(item))['gt_bboxes_labels'].tolist() == [0, 1]
    kept = LoadInstances(keep_crowd=True)(dict(item))
    assert kept['gt_ignore_flags'].tolist() == [False, False, True]
    assert kept['gt_masks'].to_ndarray().sum(axis=(1, 2)).tolist() == [4, 12, 6]
