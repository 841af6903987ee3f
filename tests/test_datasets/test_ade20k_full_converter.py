"""tools/dataset_converters/ade20k_full.py on a small tree in the layout of the release."""

import pickle
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_data import write_image

from unimask.datasets import ADE20KFullSemanticDataset
from unimask.errors import UserError

TOOL = Path(__file__).resolve().parents[2] / 'tools/dataset_converters/ade20k_full.py'
NAMES = ['door', 'leg', 'sky', 'door', 'wall']
# Objects (rows) in images: two of training, one of validation. Legs are parts only, the first kind
# of door is in training only.
PRESENCE = np.array([[1, 0, 0], [4, 4, 4], [1, 0, 1], [0, 1, 1], [2, 1, 1]])
PARTS = np.array([[0, 0, 0], [4, 4, 4], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
FOLDERS = ['x/images/ADE/training/home'] * 2 + ['x/images/ADE/validation/home']


def seg(*numbers: int) -> np.ndarray:
    """A ``_seg.png`` with a column for each object number."""
    rgb = np.zeros((4, len(numbers), 3), np.uint8)
    rgb[..., 0] = [number // 256 * 10 for number in numbers]
    rgb[..., 1] = [number % 256 for number in numbers]
    rgb[..., 2] = 7  # the instance
    return rgb


def write_release(root: Path) -> Path:
    for folder, name, numbers in ((FOLDERS[0], 'a', (1, 3, 5)), (FOLDERS[1], 'b', (4, 5, 0)),
                                  (FOLDERS[2], 'c', (3, 4, 5))):
        folder = root / folder.removeprefix('x/')
        write_image(folder / f'{name}.jpg', 4, 3)
        Image.fromarray(seg(*numbers)).save(folder / f'{name}_seg.png')
    index = dict(objectnames=NAMES, objectPresence=PRESENCE.astype(float),
                 objectIsPart=PARTS.astype(float), folder=FOLDERS)
    (root / 'index_ade20k.pkl').write_bytes(pickle.dumps(index))
    return root


@pytest.fixture(scope='module')
def main() -> Callable:
    return runpy.run_path(str(TOOL))['main']


def dataset(root: Path, split: str) -> ADE20KFullSemanticDataset:
    return ADE20KFullSemanticDataset(
        data_root=str(root), seg_map_suffix='.tif',
        data_prefix=dict(img_path=f'images_detectron2/{split}',
                         seg_map_path=f'annotations_detectron2/{split}'),
        pipeline=[dict(type='LoadImage'), dict(type='LoadSemanticMap', ignore_index=65535)])


def test_release_to_data_set(main: Callable, tmp_path: Path,
                             capsys: pytest.CaptureFixture) -> None:
    root = write_release(tmp_path)
    before = {path: path.read_bytes() for path in root.rglob('*') if path.is_file()}
    assert main([str(root)]) == 0
    assert 'has 3 classes; published weights have 847' in capsys.readouterr().out
    assert (root / 'classes.txt').read_text().split('\n') == ['wall', 'sky', 'door (2)', '']
    training, validation = (dataset(root, split) for split in ('training', 'validation'))
    assert [training[i]['gt_seg_map'][0].tolist() for i in range(2)] == [
        [65535, 1, 0], [2, 0, 65535]]
    assert validation[0]['gt_seg_map'][0].tolist() == [1, 2, 0]
    assert {path: path.read_bytes() for path in before} == before


def test_a_second_run_keeps_what_is_there_and_makes_the_rest(main: Callable,
                                                             tmp_path: Path) -> None:
    root = write_release(tmp_path)
    (root / 'classes.txt').write_text('sky\nwall\n')
    assert main([str(root)]) == 0
    folder = root / 'annotations_detectron2/training'
    (folder / 'a.tif').unlink()
    stamp = (folder / 'b.tif').stat().st_mtime_ns
    assert main([str(root)]) == 0
    assert (folder / 'b.tif').stat().st_mtime_ns == stamp
    assert dataset(root, 'training')[0]['gt_seg_map'][0].tolist() == [65535, 0, 1]


class Code:
    def __reduce__(self) -> tuple:
        return print, ('no',)


@pytest.mark.parametrize(('spoil', 'hint'), [
    (lambda root: (root / 'images/ADE/training/home/a_seg.png').unlink(), 'without label map'),
    (lambda root: (root / 'index_ade20k.pkl').write_bytes(pickle.dumps([Code()])), '--trust-index'),
    (lambda root: (root / 'index_ade20k.pkl').write_bytes(pickle.dumps({})), 'has no objectnames'),
    (lambda root: (root / 'index_ade20k.pkl').write_bytes(pickle.dumps(NAMES)[:9]), 'damaged'),
    (lambda root: (root / 'classes.txt').write_text('moon\n'), r"names ['moon']"),
    (lambda root: write_image(root / 'images/ADE/training/home/a.jpg', 5, 5), 'its labels are'),
])
def test_what_is_wrong_is_said(spoil: Callable, hint: str, main: Callable, tmp_path: Path) -> None:
    root = write_release(tmp_path)
    spoil(root)
    with pytest.raises(UserError, match=re.escape(hint)):
        main([str(root)])
