"""Films, frame by frame, written back as films."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from unimask.apis.inferencer import MIN_SCORE, Inferencer
from unimask.apis.output import JsonList
from unimask.apis.result import Result
from unimask.apis.results import describe
from unimask.errors import UserError

__all__ = ['VIDEO_SUFFIXES', 'predict_video']

VIDEO_SUFFIXES = ('.mp4', '.mov', '.avi', '.mkv', '.webm')
_CODEC = 'mp4v'
_RATE = 25.0  # frames a second, where a film does not say it


class _Film:
    """A film that is read.

    Args:
        path: Of the file.

    Raises:
        UserError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise UserError(f'the film {path} cannot be read. Is it whole, and of a kind that '
                            f'OpenCV knows ({", ".join(VIDEO_SUFFIXES)})?')
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or _RATE
        self.count = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)

    def frames(self) -> Iterator[np.ndarray]:
        """(h, w, 3) uint8, BGR."""
        while True:
            there, frame = self._capture.read()
            if not there:
                return
            yield frame

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()


def predict_video(inferencer: Inferencer, path: str | Path, out_dir: str | Path, *,
                  min_score: float = MIN_SCORE, progress: bool = True) -> int:
    """Predict every frame by itself; write ``NAME.mp4`` and ``NAME.json`` into a folder.

    The film has what was found painted on it; the list in the JSON file has an entry for every
    frame, as ``predictions.json`` has for pictures, with its number. Both are whole up to the last
    frame that was done, however the program ends.

    Args:
        inferencer: The model.
        path: Of the film.
        out_dir: Made if it is missing.
        min_score: Instances with a lower score are left out.
        progress: Show a progress line on stderr.

    Returns:
        Frames that were done.

    Raises:
        UserError: The film cannot be read, or nothing can be written.
    """
    path, out_dir = Path(path), Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / f'{path.stem}.mp4'
    if target.exists() and target.samefile(path):
        raise UserError(f'the prediction for {path} would be written over it. Name another folder.')
    with closing(_Film(path)) as film, closing(JsonList(target.with_suffix('.json'))) as records:
        frames = track(film.frames(), f'predicting {path.name}', total=film.count or None,
                       console=Console(stderr=True), disable=not progress)
        _write(inferencer, frames, film, target, records, min_score)
        if not records.count:
            raise UserError(f'the film {path} has no frame that can be read.')
        return records.count


def _write(inferencer: Inferencer, frames: Iterator[np.ndarray], film: _Film, target: Path,
           records: JsonList, min_score: float) -> None:
    writer = None
    try:
        for number, frame in enumerate(frames):
            sample = inferencer(frame)[0]
            taxonomy = inferencer.model.taxonomy
            result = Result.from_sample(sample, frame[..., ::-1], taxonomy, name=str(number),
                                        min_score=min_score)
            if writer is None:
                writer = _writer(target, film.rate, frame)
            writer.write(np.ascontiguousarray(result.overlay()[..., ::-1]))
            records.append(describe(result.sample, taxonomy) | dict(
                image=str(film.path), frame=number))
    finally:
        if writer is not None:
            writer.release()


def _writer(path: Path, rate: float, frame: np.ndarray) -> cv2.VideoWriter:
    height, width = frame.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*_CODEC), rate, (width, height))
    if not writer.isOpened():
        raise UserError(f'the film {path} cannot be written. Is there room, and may the folder be '
                        'written to?')
    return writer
