"""The folder that predictions are written to, one picture after the other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image as PILImage

from unimask.apis.pictures import Picture
from unimask.apis.results import describe, panoptic_map, semantic_map
from unimask.data_sample import DataSample
from unimask.errors import UserError
from unimask.structures import Taxonomy
from unimask.visualization import UniversalVisualizer

__all__ = ['JsonList', 'OutputFolder']

JSON_NAME = 'predictions.json'


class JsonList:
    """A JSON file with a list, that is complete after every record.

    A record is put in the place of the closing bracket, together with a new one, in one call of
    the system. Whenever the program ends, what was done until then can be read.

    Args:
        path: Of the file; one that is there is replaced.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open('wb', buffering=0)
        self._end = self._put(0, b'[')
        self._put(self._end, b'\n]\n')
        self.count = 0

    def append(self, record: object) -> None:
        """Add a record; when it cannot be written (full disk), the list stays as it was."""
        text = (b',\n' if self.count else b'\n') + json.dumps(record).encode()
        try:
            self._put(self._end, text + b'\n]\n')
        except OSError:
            self._file.truncate(self._end)
            self._put(self._end, b'\n]\n')
            raise
        self._end += len(text)
        self.count += 1

    def close(self) -> None:
        """Nothing remains to be written."""
        self._file.close()

    def _put(self, position: int, data: bytes) -> int:
        self._file.seek(position)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest):]
        return position + len(data)


class OutputFolder:
    """Writes drawings, maps and ``predictions.json``.

    ``NAME.png`` is the drawing, ``semantic/NAME.png`` the class of every pixel (the palette's
    colours are the classes'), ``panoptic/NAME.png`` COCO's id = R + 256 G + 65536 B, 0 = void, and
    ``prior/NAME.png`` the drawing of the semantic prior. The record in ``predictions.json`` is
    written last and names these files.

    Args:
        folder: Made if it is missing.
        taxonomy: The classes.
        min_score: Instances with a lower score are neither drawn nor described.

    Raises:
        UserError: The folder cannot be written to.
    """

    def __init__(self, folder: str | Path, taxonomy: Taxonomy, *, min_score: float) -> None:
        self.folder = Path(folder)
        self.taxonomy = taxonomy
        self.min_score = min_score
        self._visualizer = UniversalVisualizer()
        self._visualizer.dataset_meta = taxonomy.to_metainfo()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._json = JsonList(self.folder / JSON_NAME)
        except OSError as error:
            raise UserError(f'the folder {self.folder} for the predictions cannot be written to '
                            f'({error.strerror}). Name another one.') from error

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._json.close()

    def check(self, pictures: list[Picture]) -> None:
        """Refuse to write over the pictures that are to be read.

        Raises:
            UserError: One of them lies where a drawing or a map would be written.
        """
        sources = {os.path.realpath(picture.source) for picture in pictures
                   if isinstance(picture.source, str)}
        for picture in pictures:
            for kind in ('', 'semantic', 'panoptic', 'prior'):
                path = self.folder / kind / f'{picture.name}.png'
                if os.path.realpath(path) in sources:
                    raise UserError(f'the prediction for {picture.path} would be written over the '
                                    f'picture {path}. Name another folder for the predictions.')

    def write(self, picture: Picture, pixels: np.ndarray, sample: DataSample) -> None:
        """Write everything about one picture.

        Args:
            picture: The picture.
            pixels: (h, w, 3) uint8, BGR.
            sample: The prediction.
        """
        files = dict(picture=f'{picture.name}.png')
        self._visualizer.add_datasample(
            picture.name, pixels[..., ::-1], data_sample=sample, draw_gt=False,
            out_file=str(self.folder / files['picture']), pred_score_thr=self.min_score)
        if 'pred_sem_seg' in sample:
            files['semantic_map'] = self._save(
                'semantic', picture.name, _with_palette(semantic_map(sample), self.taxonomy))
        if 'pred_panoptic_seg' in sample:
            files['panoptic_map'] = self._save(
                'panoptic', picture.name, PILImage.fromarray(panoptic_map(sample)))
        if 'pred_prior' in sample:
            files['prior'] = self._save('prior', picture.name, PILImage.fromarray(
                self._visualizer.draw_prior(pixels[..., ::-1], sample.pred_prior)))
        described = describe(sample, self.taxonomy, min_score=self.min_score)
        self._json.append({**described, 'files': files})

    def _save(self, kind: str, name: str, image: PILImage.Image) -> str:
        path = self.folder / kind / f'{name}.png'
        path.parent.mkdir(exist_ok=True)
        image.save(path)
        return f'{kind}/{name}.png'


def _with_palette(labels: np.ndarray, taxonomy: Taxonomy) -> PILImage.Image:
    image = PILImage.fromarray(labels)
    if labels.dtype == np.uint8:
        image.putpalette([value for colour in taxonomy.palette[:256] for value in colour])
    return image
