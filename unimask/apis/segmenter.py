"""Using a model in three lines.

::

    segment = Segmenter.from_pretrained('run/best_semantic_mIoU_iter_500.pth')
    result = segment('street.jpg')
    result.save('out')
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from unimask.apis.hub import located
from unimask.apis.inferencer import MIN_SCORE, Inferencer
from unimask.apis.pictures import Image, Picture, collect
from unimask.apis.result import Result
from unimask.errors import UserError

__all__ = ['Segmenter']

_PICTURE = (str, Path, np.ndarray, PILImage.Image)


class Segmenter:
    """A trained model: pictures in, results out.

    Args:
        inferencer: The model with its pipeline.
        min_score: Instances with a lower score are left out.
        duplicate_iou: Of instances of a class whose masks overlap more than this (IoU), the best
            stays; 1 keeps all.

    Raises:
        UserError: A threshold is no number from 0 to 1.
    """

    def __init__(self, inferencer: Inferencer, *, min_score: float = MIN_SCORE,
                 duplicate_iou: float = 1.0) -> None:
        for name, value in dict(min_score=min_score, duplicate_iou=duplicate_iou).items():
            if not 0 <= value <= 1:
                raise UserError(f'{name} is {value!r}; it must be from 0 to 1.')
        self.inferencer = inferencer
        self.min_score = min_score
        self.duplicate_iou = duplicate_iou
        processors = getattr(inferencer.model, 'post_processors', {})
        with suppress(KeyError, TypeError):
            processors['semantic'] = replace(processors['semantic'], confidence=True)

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: str | None = None,
                        min_score: float = MIN_SCORE, duplicate_iou: float = 1.0,
                        trust_checkpoint: bool = False, prior: bool = False) -> Segmenter:
        """A model from a file.

        Args:
            name: Checkpoint, URL of one, folder of a run, or a name on the Hugging Face hub
                (``owner/model``, with the package huggingface_hub). The checkpoint carries its
                config and its classes.
            device: Such as ``cpu`` or ``cuda:0``; None for a GPU where there is one.
            min_score: See above.
            duplicate_iou: See above.
            trust_checkpoint: Let the checkpoint run code while it is read.
            prior: Results have SeMask's semantic prior, see :attr:`Result.prior`.

        Raises:
            UserError: There is no such model, it does not say its config, or it has no semantic
                prior.
        """
        from unimask.utils import register_all_modules
        register_all_modules()
        inferencer = Inferencer(None, located(name), device=device,
                                trust_checkpoint=trust_checkpoint, prior=prior)
        return cls(inferencer, min_score=min_score, duplicate_iou=duplicate_iou)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return self.inferencer.classes

    def __call__(self, images: Image | Iterable[Image], *, batch_size: int = 1
                 ) -> Result | list[Result]:
        """Predict.

        Args:
            images: A picture (path, array BGR, PIL image or tensor); or a folder, a pattern, or a
                list of these, for a list of results.
            batch_size: Pictures per forward pass.

        Raises:
            UserError: A picture cannot be read.
        """
        results = [self._one(picture) for picture in collect(images)] if batch_size == 1 else [
            result for batch in _batches(collect(images), batch_size)
            for result in self._batch(batch)]
        return results[0] if _is_one(images) else results

    def _one(self, picture: Picture) -> Result:
        return self._batch([picture])[0]

    def _batch(self, pictures: list[Picture]) -> list[Result]:
        samples = self.inferencer([picture.source for picture in pictures],
                                  batch_size=len(pictures))
        return [Result.from_sample(
            sample, picture.pixels()[..., ::-1], self.inferencer.model.taxonomy,
            name=picture.name, min_score=self.min_score, duplicate_iou=self.duplicate_iou)
            for picture, sample in zip(pictures, samples, strict=True)]


def _batches(pictures: list[Picture], size: int) -> Iterable[list[Picture]]:
    if size < 1:
        raise UserError(f'batch_size must be 1 or more, not {size}')
    return (pictures[start:start + size] for start in range(0, len(pictures), size))


def _is_one(images: object) -> bool:
    if isinstance(images, (str, Path)):
        return Path(images).is_file()
    return isinstance(images, _PICTURE) or hasattr(images, 'detach')
