"""The inferencer and its command."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.test_tools.conftest import CONFIG, SMALL
from unimask.apis import Inferencer
from unimask.errors import UserError
from unimask.preflight import load_config, prepare_config
from unimask.registry import MODELS


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the small model, for two classes of a user's own."""
    metainfo = dict(classes=['cat', 'grass'], thing_classes=['cat'])
    cfg = prepare_config(load_config(CONFIG, SMALL), mode='predict')
    model = MODELS.build(dict(cfg.model, taxonomy=metainfo))
    path = tmp_path_factory.mktemp('weights') / 'own.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=metainfo)), path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a grey, a CMYK, a 16-bit and an upside-down picture, and a text."""
    folder = tmp_path / 'pictures'
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    Image.fromarray(pixels).save(folder / 'grey.png')
    Image.fromarray(np.stack([pixels] * 4, -1), 'CMYK').save(folder / 'cmyk.jpg')
    Image.fromarray(pixels.astype(np.uint16) * 256).save(folder / 'deep.png')
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(np.stack([pixels] * 3, -1)).save(folder / 'turned.jpg', exif=exif)
    (folder / 'notes.txt').touch()
    return folder


def test_any_picture_is_predicted(checkpoint: Path, pictures: Path, tool: Callable,
                                  tmp_path: Path) -> None:
    out = tmp_path / 'out'
    result = tool('misc/predict.py', pictures, CONFIG, checkpoint, '--out-dir', out)
    assert result.status == 0, result.err
    assert sorted(path.name for path in out.glob('*.png')) == [
        'cmyk.png', 'deep.png', 'grey.png', 'turned.png']
    found = {Path(item['image']).name: item for item in json.loads(
        (out / 'predictions.json').read_text())}
    assert (found['turned.jpg']['height'], found['turned.jpg']['width']) == (60, 40)
    assert sum(found['grey.png']['semantic'].values()) == 40 * 60
    assert {item['class'] for item in found['grey.png']['instances']} <= {'cat'}


def test_paths_arrays_and_batches_agree(checkpoint: Path, pictures: Path) -> None:
    inferencer = Inferencer(load_config(CONFIG, SMALL), checkpoint, device='cpu')
    path = pictures / 'grey.png'
    array = np.stack([np.asarray(Image.open(path))] * 3, -1)
    from_path, from_array = inferencer([path, array], batch_size=2)
    assert torch.equal(from_path.pred_sem_seg.sem_seg, from_array.pred_sem_seg.sem_seg)
    alone = inferencer(str(path))[0]
    assert torch.equal(from_path.pred_sem_seg.sem_seg, alone.pred_sem_seg.sem_seg)


def test_what_is_missing_is_named(checkpoint: Path, tmp_path: Path) -> None:
    inferencer = Inferencer(load_config(CONFIG, SMALL), checkpoint)
    with pytest.raises(UserError, match='no picture or folder'):
        inferencer(tmp_path / 'none.jpg')
    with pytest.raises(UserError, match='has no pictures'):
        inferencer(tmp_path)
    with pytest.raises(UserError, match='uint8'):
        inferencer(np.zeros((4, 4), np.uint8))
    with pytest.raises(UserError, match='there is no checkpoint'):
        Inferencer(CONFIG, tmp_path / 'none.pth')
