"""Label maps are looked at before training: masks of 0 and 255, shifted and missing labels."""

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from tiny_data import write_image, write_semantic

from unimask.datasets import SemanticDataset, label_survey
from unimask.datasets.transforms import LoadSemanticMap
from unimask.errors import UserError

PIPELINE = [dict(type='LoadImage'), dict(type='LoadSemanticMap')]
BINARY = np.array([[0, 0, 255], [0, 255, 255]], np.uint8)
PERSON = dict(classes=('background', 'person'))


def _dataset(root, *maps: np.ndarray, metainfo: dict = PERSON, **options) -> SemanticDataset:
    for number, labels in enumerate(maps):
        write_image(root / f'img/{number:03}.jpg', *labels.shape)
        (root / 'seg').mkdir(exist_ok=True)
        Image.fromarray(labels).save(root / f'seg/{number:03}.png')
    return SemanticDataset(**dict(
        data_root=str(root), metainfo=metainfo, pipeline=PIPELINE,
        data_prefix=dict(img_path='img', seg_map_path='seg')) | options)


@pytest.mark.parametrize('test_mode', [True, False])
def test_masks_of_0_and_255_are_refused(tmp_path, test_mode):
    with pytest.raises(UserError, match=(
            r"all 20 label maps \(such as .*seg/000\.png\) have no values but 0 and 255.*no class "
            r"but 'background'.*file_labels=\{255: 1\}")):
        _dataset(tmp_path, *[BINARY] * 20, test_mode=test_mode)


def test_masks_of_0_and_255_of_one_class(tmp_path, notes):
    _dataset(tmp_path, BINARY, metainfo=dict(classes=('person',)))
    assert "every pixel that counts is 'person'" in notes.warnings
    assert "classes=('background', 'person'), file_labels={255: 1}" in notes.warnings


def test_file_labels_say_what_values_mean(tmp_path, notes):
    metainfo = PERSON | dict(file_labels={255: 1})
    dataset = _dataset(tmp_path, BINARY, metainfo=metainfo)
    item = dataset[0]
    np.testing.assert_array_equal(item['gt_seg_map'], BINARY == 255)
    assert item['ignore_index'] == 255
    assert notes.warnings == ''
    assert notes.said.endswith('1 images; in all 1 label maps there are 2 of 2 classes')
    kept = _dataset(tmp_path, BINARY, metainfo=PERSON | dict(file_labels={255: 255}))
    np.testing.assert_array_equal(kept[0]['gt_seg_map'], BINARY)


def test_file_labels_come_through_a_config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text("metainfo = dict(classes=('background', 'person'), file_labels={255: 1})\n")
    cfg = Config.fromfile(path)
    cfg.dump(tmp_path / 'again.py')
    again = Config.fromfile(tmp_path / 'again.py')
    dataset = _dataset(tmp_path, BINARY, metainfo=again.metainfo)
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], BINARY == 255)


@pytest.mark.parametrize('labels', [[1], {'255': 1}, {255: 2}, {255: 'person'}, {-1: 0}])
def test_wrong_file_labels(tmp_path, labels):
    with pytest.raises(UserError, match='SemanticDataset: metainfo.file_labels is'):
        _dataset(tmp_path, BINARY, metainfo=PERSON | dict(file_labels=labels))


def test_file_labels_come_before_the_other_changes():
    table = LoadSemanticMap(void_labels=(1,))._table(
        9, dict(file_labels={7: 0, 8: 3}, reduce_zero_label=True))
    assert table[:10].tolist() == [255, 0, 255, 2, 3, 4, 5, 255, 2, 8]


def test_one_other_label_is_enough(tmp_path, monkeypatch, notes):
    """Maps with a void border and nothing but background are no masks of 0 and 255."""
    monkeypatch.setattr(label_survey, 'BUDGET', 6)  # pixels
    other = BINARY.copy()
    other[0, 0] = 1
    _dataset(tmp_path, *[BINARY] * 18, other)
    assert '2 of 2 classes' in notes.said
    assert notes.warnings == ''


def test_only_a_part_of_much_data_is_looked_at(tmp_path, monkeypatch, notes):
    monkeypatch.setattr(label_survey, 'BUDGET', 6)
    labels = np.array([[0, 1, 1], [1, 1, 0]], np.uint8)
    metainfo = dict(classes=('a', 'b', 'c'))
    _dataset(tmp_path, *[labels] * 30, metainfo=metainfo)
    assert notes.said.endswith(
        '30 images; in the 16 label maps looked at there are 2 of 3 classes')
    assert notes.warnings == ''


def test_class_that_never_occurs(tmp_path, notes):
    labels = np.array([[0, 1, 1], [1, 1, 0]], np.uint8)
    _dataset(tmp_path, labels, labels, metainfo=dict(classes=('a', 'b', 'c')))
    assert '1 of 3 classes occur in no label map of' in notes.warnings
    assert 'seg: c. ' in notes.warnings
    notes.entries.clear()
    _dataset(tmp_path, labels, metainfo=dict(classes=('a', 'b', 'c')), test_mode=True)
    assert notes.warnings == ''


def test_no_labelled_pixel(tmp_path, notes):
    _dataset(tmp_path, np.full((2, 3), 255, np.uint8))
    assert 'seg/000.png) have no labelled pixel' in notes.warnings


def test_reduce_zero_label_on_maps_that_count_from_0(tmp_path, notes):
    labels = np.array([[0, 1, 1], [0, 0, 0]], np.uint8)
    _dataset(tmp_path, labels, reduce_zero_label=True)
    assert 'all 1 label maps (such as' in notes.warnings
    assert '67% of the pixels are 0 and none is 2' in notes.warnings
    assert 'reduce_zero_label=False' in notes.warnings
    notes.entries.clear()
    _dataset(tmp_path, np.array([[0, 1, 2], [0, 0, 0]], np.uint8), reduce_zero_label=True)
    assert notes.warnings == ''


def test_maps_that_count_from_1(tmp_path):
    labels = np.array([[0, 1, 2], [0, 0, 0]], np.uint8)
    with pytest.raises(UserError, match=r'values \[2\].*set reduce_zero_label=True'):
        _dataset(tmp_path, labels)


def test_absurd_values_take_no_memory(tmp_path):
    path = tmp_path / 'a.tif'
    Image.fromarray(np.array([[0, 2**31 - 1]], np.int32)).save(path)
    with pytest.raises(UserError, match=r'a\.tif has the value 2147483647'):
        LoadSemanticMap().read(dict(seg_map_path=str(path)))
    Image.fromarray(np.array([[0, -3]], np.int32)).save(path)
    with pytest.raises(UserError, match=r'a\.tif has the value -3'):
        LoadSemanticMap().read(dict(seg_map_path=str(path)))


def test_pipelines_without_labels_are_left_alone(tmp_path, notes):
    options = write_semantic(tmp_path, BINARY)
    SemanticDataset(**options, metainfo=PERSON)
    SemanticDataset(data_root=str(tmp_path), data_prefix=dict(img_path='img'), metainfo=PERSON,
                    pipeline=PIPELINE)
    assert notes.said.count('img: 1 images') == 2
