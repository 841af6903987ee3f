"""Films come out as films."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.test_apis.conftest import noise
from unimask.apis import Inferencer
from unimask.apis.video import predict_video
from unimask.errors import UserError


def write_film(path: Path, *, frames: int = 4, rate: float = 12.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), rate, (64, 48))
    for seed in range(frames):
        writer.write(noise(48, 64, seed=seed))
    writer.release()
    return path


def frames_of(path: Path) -> list[np.ndarray]:
    capture, found = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        found.append(read[1])
    return found


def test_every_frame(inferencer: Inferencer, tmp_path: Path) -> None:
    film = write_film(tmp_path / 'street.mp4')
    assert predict_video(inferencer, film, tmp_path / 'out', progress=False) == 4
    target = tmp_path / 'out' / 'street.mp4'
    assert [frame.shape for frame in frames_of(target)] == [(48, 64, 3)] * 4
    assert cv2.VideoCapture(str(target)).get(cv2.CAP_PROP_FPS) == pytest.approx(12)
    records = json.loads((tmp_path / 'out' / 'street.json').read_text())
    assert [record['frame'] for record in records] == [0, 1, 2, 3]
    assert records[0]['image'] == str(film) and records[0]['height'] == 48
    painted = np.abs(frames_of(target)[0].astype(int) - frames_of(film)[0]).mean()
    assert painted > 10


def test_what_was_done_stays_when_it_is_stopped(inferencer: Inferencer, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    film = write_film(tmp_path / 'a.mp4')
    done = []

    def stopped(self: Inferencer, frame: np.ndarray) -> list:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(frame)
        return original(self, frame)

    original = Inferencer.__call__
    monkeypatch.setattr(Inferencer, '__call__', stopped)
    with pytest.raises(KeyboardInterrupt):
        predict_video(inferencer, film, tmp_path / 'out', progress=False)
    assert len(json.loads((tmp_path / 'out' / 'a.json').read_text())) == 2
    assert len(frames_of(tmp_path / 'out' / 'a.mp4')) == 2


def test_wrong_films(inferencer: Inferencer, tmp_path: Path) -> None:
    (tmp_path / 'text.mp4').write_text('no film')
    for name in ('text.mp4', 'gone.mp4'):
        with pytest.raises(UserError, match=rf'the film .*{name} cannot be read'):
            predict_video(inferencer, tmp_path / name, tmp_path / 'out', progress=False)
    film = write_film(tmp_path / 'b.mp4')
    with pytest.raises(UserError, match='would be written over it'):
        predict_video(inferencer, film, tmp_path, progress=False)
    assert len(frames_of(film)) == 4
