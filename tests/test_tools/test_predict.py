"""The command that predicts pictures."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.test_apis.conftest import checkpoint  # noqa: F401
from tests.test_apis.test_video import write_film
from tests.test_tools.conftest import CONFIG, ROOT, SMALL
from unimask.apis import Inferencer
from unimask.errors import UserError
from unimask.preflight import load_config


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


def records(out: Path) -> dict[str, dict]:
    found = json.loads((out / 'predictions.json').read_text())
    return {Path(item['image']).name: item for item in found}


def test_any_picture_is_predicted(checkpoint: Path, pictures: Path, tool: Callable,  # noqa: F811
                                  tmp_path: Path) -> None:
    out = tmp_path / 'out'
    result = tool('misc/predict.py', pictures, CONFIG, checkpoint, '--out-dir', out,
                  '--min-score', '0')
    assert result.status == 0, result.err
    for where in ('.', 'semantic', 'panoptic'):
        assert sorted(path.name for path in (out / where).glob('*.png')) == [
            'cmyk.png', 'deep.png', 'grey.png', 'turned.png']
    found = records(out)
    assert (found['turned.jpg']['height'], found['turned.jpg']['width']) == (60, 40)
    assert sum(found['grey.png']['semantic'].values()) == 40 * 60
    assert {item['class'] for item in found['grey.png']['instances']} == {'cat'}
    assert '4/4' in result.err and '4 pictures' in result.out


def test_no_config_is_needed(checkpoint: Path, pictures: Path, tool: Callable,  # noqa: F811
                             tmp_path: Path) -> None:
    result = tool('misc/predict.py', pictures / 'grey.png', pictures / 'deep.png', checkpoint,
                  '--out-dir', tmp_path / 'out')
    assert result.status == 0, result.err
    assert list(records(tmp_path / 'out')) == ['grey.png', 'deep.png']


def test_a_bad_picture_is_reported_at_the_end(
        checkpoint: Path, pictures: Path, tool: Callable, tmp_path: Path) -> None:  # noqa: F811
    (pictures / 'aaa.jpg').write_text('text')
    result = tool('misc/predict.py', pictures, CONFIG, checkpoint, '--out-dir', tmp_path / 'out')
    assert result.status == 2
    assert '1 of 5 pictures could not' in result.err and 'aaa.jpg cannot be read' in result.err
    assert '_io.BytesIO' not in result.err
    assert len(records(tmp_path / 'out')) == 4


@pytest.mark.parametrize('words', [('CHECKPOINT',), (str(CONFIG), 'CHECKPOINT'),
                                   ('x.jpg', 'CHECKPOINT', str(CONFIG))])
def test_the_order_of_the_words_is_said(words: tuple, checkpoint: Path,  # noqa: F811
                                        tool: Callable) -> None:
    words = [checkpoint if word == 'CHECKPOINT' else word for word in words]
    result = tool('misc/predict.py', *words)
    assert result.status == 2 and 'PICTURES... [CONFIG] CHECKPOINT' in result.err


def test_films_beside_pictures(checkpoint: Path, pictures: Path, tmp_path: Path,  # noqa: F811
                               tool: Callable) -> None:
    film = write_film(tmp_path / 'street.mp4', frames=2)
    (tmp_path / 'no.mov').write_text('no film')
    result = tool('misc/predict.py', tmp_path / 'no.mov', film, pictures / 'grey.png',
                  '--checkpoint', checkpoint, '--out', tmp_path / 'out')
    assert result.status == 2 and 'no.mov cannot be read' in result.err
    assert 'Traceback' not in result.err
    assert len(records(tmp_path / 'out')) == 1
    assert len(json.loads((tmp_path / 'out' / 'street.json').read_text())) == 2


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(checkpoint: Path, tmp_path: Path) -> None:  # noqa: F811
    folder, out = tmp_path / 'many', tmp_path / 'out'
    folder.mkdir()
    for number in range(3000):
        (folder / f'{number:04d}.ppm').write_bytes(b'P6 2 2 255\n' + bytes(12))
    process = subprocess.Popen(
        [sys.executable, ROOT / 'tools/misc/predict.py', folder, checkpoint, '--out-dir', out],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)})
    deadline = time.monotonic() + 300
    while len(list(out.glob('*.png'))) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    done = len(records(out))
    assert 2 <= done < 3000
    said = int(re.search(r'(\d+) of 3000 pictures are done', err)[1])
    assert said in (done - 1, done)  # it may come between the writing and the counting
    assert 'Traceback' not in err


def test_paths_arrays_and_batches_agree(checkpoint: Path, pictures: Path) -> None:  # noqa: F811
    inferencer = Inferencer(load_config(CONFIG, SMALL), checkpoint, device='cpu')
    path = pictures / 'grey.png'
    array = np.stack([np.asarray(Image.open(path))] * 3, -1)
    from_path, from_array = inferencer([path, array], batch_size=2)
    assert torch.equal(from_path.pred_sem_seg.sem_seg, from_array.pred_sem_seg.sem_seg)
    alone = inferencer(str(path))[0]
    assert torch.equal(from_path.pred_sem_seg.sem_seg, alone.pred_sem_seg.sem_seg)


def test_what_is_missing_is_named(checkpoint: Path, tmp_path: Path) -> None:  # noqa: F811
    inferencer = Inferencer(load_config(CONFIG, SMALL), checkpoint)
    with pytest.raises(UserError, match='no picture or folder'):
        inferencer(tmp_path / 'none.jpg')
    with pytest.raises(UserError, match='has no pictures'):
        inferencer(tmp_path)
    with pytest.raises(UserError, match='there is no checkpoint'):
        Inferencer(CONFIG, tmp_path / 'none.pth')
    with pytest.raises(UserError, match='needs a config'):
        Inferencer()
