"""Semantic datasets: what they list, and missing files."""

import numpy as np
import pytest
from PIL import Image
from tiny_data import write_semantic

from unimask.datasets import (
    ADE20KSemanticDataset,
    CamVidDataset,
    MapillarySemanticDataset,
    SemanticDataset,
)
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
    dataset = SemanticDataset(
        **write_semantic(tmp_path, labels), metainfo=METAINFO, pipeline=PIPELINE)
    with pytest.raises(ValueError, match=r'seg/a\.png has the values \[7\].*3 classes'):
        dataset[0]


def test_missing_files(tmp_path):
    options = write_semantic(tmp_path, LABELS)
    with pytest.raises(FileNotFoundError, match=r'nowhere.*`data_prefix\.seg_map_path`'):
        SemanticDataset(**options | dict(data_prefix=dict(img_path='img', seg_map_path='nowhere')),
                        metainfo=METAINFO)
    with pytest.raises(FileNotFoundError, match=r'list\.txt.*`ann_file`'):
        SemanticDataset(**options, ann_file='list.txt', metainfo=METAINFO)
    Image.new('RGB', (2, 3)).save(tmp_path / 'img/b.jpg')
    with pytest.raises(FileNotFoundError, match=r'seg/b\.png'):
        SemanticDataset(**options, metainfo=METAINFO)
    with pytest.raises(FileNotFoundError, match=r'no images \*\.tif'):
        SemanticDataset(**options, img_suffix='.tif', metainfo=METAINFO)


def test_mapillary_ignores_unlabelled(tmp_path):
    labels = np.array([[0, 64], [65, 65]], np.uint8)
    pipeline = [dict(type='LoadImage'), dict(type='LoadSemanticMap', void_labels=(65,))]
    dataset = MapillarySemanticDataset(**write_semantic(tmp_path, labels), pipeline=pipeline)
    assert dataset[0]['gt_seg_map'].tolist() == [[0, 64], [255, 255]]
    assert len(dataset.metainfo['classes']) == 65
    strict = MapillarySemanticDataset(**write_semantic(tmp_path, labels), pipeline=PIPELINE)
    with pytest.raises(ValueError, match='65'):
        strict[0]


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
