"""COCO-Stuff 10k: from the files of the release to the samples that a config trains on."""

import os
import re
import runpy
from pathlib import Path

import mmseg
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from scipy.io import savemat
from test_datasets.test_converters import _tool
from tiny_data import write_image

from unimask.datasets import COCOStuff10kDataset
from unimask.errors import UserError
from unimask.preflight.components import check_components
from unimask.registry import DATASETS
from unimask.structures.taxonomy import Taxonomy

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets'
PIPELINE = [dict(type='LoadImage'), dict(type='LoadSemanticMap')]
NAMES = np.array([f'class {number}' for number in range(183)], object)
# ids of the release and the labels that they stand for; 12 was never annotated
KNOWN = {0: 255, 1: 0, 11: 10, 13: 11, 90: 79, 92: 80, 182: 170}


def _release(root: Path, ids: np.ndarray | None = None, names: np.ndarray = NAMES) -> Path:
    """The files of the release, two images for training and one for testing."""
    ids = np.array([[*KNOWN], [1] * 7], np.uint8) if ids is None else ids
    for name in ('a', 'b', 'c'):
        write_image(root / f'images/{name}.jpg', *ids.shape)
        (root / 'annotations').mkdir(exist_ok=True)
        savemat(root / f'annotations/{name}.mat', dict(S=ids, names=names))
    (root / 'imageLists').mkdir(exist_ok=True)
    (root / 'imageLists/train.txt').write_text('a\nb\n')
    (root / 'imageLists/test.txt').write_text('c\n')
    return root


def _state(root: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes())
            for path in root.rglob('*') if path.is_file()}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    source = _release(tmp_path / 'source')
    assert _tool('coco_stuff10k').main([str(source), str(tmp_path / 'made')]) == 0
    return tmp_path / 'made'


def test_labels_of_the_release(made):
    dataset = COCOStuff10kDataset(
        data_root=str(made), pipeline=PIPELINE,
        data_prefix=dict(img_path='images/train2014', seg_map_path='annotations/train2014'))
    assert len(dataset) == 2
    assert dataset[0]['gt_seg_map'].tolist() == [[*KNOWN.values()], [0] * 7]
    classes = dataset.metainfo['classes']
    assert (len(classes), classes[0], classes[79], classes[80], classes[170]) == (
        171, 'person', 'toothbrush', 'banner', 'wood')
    assert Taxonomy.from_metainfo(dataset.metainfo).num_classes == 171


def test_ids_are_those_of_mmsegmentation():
    file = Path(mmseg.__file__).parent / '.mim/tools/dataset_converters/coco_stuff10k.py'
    if not file.is_file():
        pytest.skip('this mmseg comes without its tools')
    expected = runpy.run_path(str(file))['clsID_to_trID']
    table = _tool('coco_stuff10k').TABLE
    assert {int(i): int(table[i]) for i in np.flatnonzero(table != 255)} == expected


@pytest.mark.slow
def test_the_source_stays_and_a_second_run_makes_only_what_is_missing(tmp_path):
    source, target = _release(tmp_path / 'source'), tmp_path / 'made'
    before = _state(source)
    assert _tool('coco_stuff10k').main([str(source), str(target)]) == 0
    first = _state(target)
    assert len(first) == 6
    lost = target / 'annotations/train2014/b_labelTrainIds.png'
    lost.unlink()
    os.truncate(target / 'images/test2014/c.jpg', 5)
    assert _tool('coco_stuff10k').main([str(source), str(target)]) == 0
    again = _state(target)
    assert {name: content for name, (_, content) in again.items()} == {
        name: content for name, (_, content) in first.items()}
    assert {name for name in again if again[name] != first[name]} == {
        str(lost), str(target / 'images/test2014/c.jpg')}
    assert _state(source) == before


BAD = {
    'v1.0': (dict(names=NAMES[:172]), r'a\.mat is of v1\.0'),
    'unused id': (dict(ids=np.full((2, 7), 12)), r'a\.mat has the value 12, which is no label'),
    'large id': (dict(ids=np.full((2, 7), 300)), r'a\.mat has the value 300'),
    'negative id': (dict(ids=np.full((2, 7), -1)), r'a\.mat has the value -1'),
}


@pytest.mark.parametrize('case', BAD)
def test_other_releases(case, tmp_path):
    options, message = BAD[case]
    source = _release(tmp_path / 'source', **options)
    assert re.search(message, _error(source, tmp_path / 'made'))


def _error(source: Path, target: Path) -> str:
    with pytest.raises(UserError) as caught:
        _tool('coco_stuff10k').main([str(source), str(target)])
    return str(caught.value)


def test_bad_source(tmp_path):
    source, target = _release(tmp_path / 'source'), tmp_path / 'made'
    assert 'the same folder' in _error(source, source)
    mat = source / 'annotations/a.mat'
    mat.write_bytes(b'MATLAB 7.3 MAT-file'.ljust(124) + b'\x00\x02IM' + bytes(64))
    assert 'a.mat cannot be read' in _error(source, target)
    mat.write_bytes(b'')
    assert 'a.mat cannot be read' in _error(source, target)
    savemat(mat, dict(T=np.zeros((2, 7))))
    assert 'a.mat has no variable S' in _error(source, target)
    savemat(mat, dict(S=np.zeros((7, 2), np.uint8)))
    assert 'a.jpg is (2, 7) (height, width), its labels are (7, 2)' in _error(source, target)
    mat.unlink()
    assert re.search(r'train\.txt lists 2 images, of which 1 files.*a\.mat', _error(source, target))


def test_older_files_in_the_target(tmp_path):
    source, target = _release(tmp_path / 'source'), tmp_path / 'made'
    write_image(target / 'images/train2014/old.jpg')
    old = target / 'annotations/train2014/old_labelTrainIds.png'
    old.parent.mkdir(parents=True)
    Image.new('L', (8, 6)).save(old)
    assert "e.g. ['old']" in _error(source, target)


def _as_maskformer(root: Path, values: list[int], count: int = 1) -> dict:
    for number in range(count):
        write_image(root / f'img/{number}.jpg', 1, len(values))
        for suffix in ('.png', '_labelTrainIds.png'):
            (root / 'seg').mkdir(exist_ok=True)
            Image.fromarray(np.array([values], np.uint8)).save(root / f'seg/{number}{suffix}')
    return dict(data_root=str(root), data_prefix=dict(img_path='img', seg_map_path='seg'),
                pipeline=PIPELINE)


def test_maps_as_for_maskformer(tmp_path, notes):
    options = _as_maskformer(tmp_path, [0, 170, 255])
    dataset = COCOStuff10kDataset(**options, reduce_zero_label=False, seg_map_suffix='.png')
    assert dataset[0]['gt_seg_map'].tolist() == [[0, 170, 255]]
    assert 'off by one' not in notes.warnings
    with pytest.raises(UserError, match=r'have the value 255.*reduce_zero_label=False'):
        COCOStuff10kDataset(**options)


def test_maps_that_count_from_one_read_as_for_maskformer(tmp_path, notes):
    with pytest.raises(UserError, match=r'values \[171\].*reduce_zero_label=True'):
        COCOStuff10kDataset(**_as_maskformer(tmp_path / 'a', [0, 171]), reduce_zero_label=False)
    COCOStuff10kDataset(**_as_maskformer(tmp_path / 'b', [0, 5]), reduce_zero_label=False)
    assert 'every label is off by one' in notes.warnings


def test_ids_of_the_release_as_pictures(tmp_path):
    with pytest.raises(UserError, match=r'values \[182\]'):
        COCOStuff10kDataset(**_as_maskformer(tmp_path, [0, 182]))


def test_misspelt_option():
    cfg = Config(dict(train_dataloader=dict(dataset=dict(
        type='COCOStuff10kDataset', reduce_zero_labels=True))))
    with pytest.raises(UserError, match="has no option .*'reduce_zero_label'"):
        check_components(cfg)


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted(
    path.stem for path in CONFIGS.glob('coco_stuff10k_semantic_*.py')))
def test_configs_from_release_to_sample(name, made):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = str(made)
    train = DATASETS.build(cfg.train_dataloader.dataset)[1]
    assert train['inputs'].shape[1:] == cfg.crop_size
    assert set(train['data_samples'].gt_sem_seg.sem_seg.unique().tolist()) <= {*KNOWN.values()}
    test = DATASETS.build(cfg.val_dataloader.dataset)[0]
    assert min(test['inputs'].shape[1:]) == cfg.crop_size[0]
    assert test['data_samples'].gt_sem_seg.sem_seg[0].tolist() == [[*KNOWN.values()], [0] * 7]
