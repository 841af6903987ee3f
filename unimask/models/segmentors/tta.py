"""Test-time augmentation for semantic segmentation: several sizes, each plain and mirrored.

Shapes: K classes, (h, w) test image, (H, W) original image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from torch import Tensor, nn
from torch.nn import functional

from unimask.errors import UserError
from unimask.registry import MODELS

__all__ = ['SemanticTTA']

_FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_LONG_FACTOR = 7  # published: 3584 for short side 512, 4480 for 640


@MODELS.register_module()
class SemanticTTA(BaseTTAModel):
    """Averages the class scores of a segmentor over resized and mirrored images.

    As in the published evaluation the views are made from the image after the test pipeline, and
    the score maps are averaged at the original size before the argmax. The views run one after
    the other, so memory does not grow with their number.

    Args:
        module: The segmentor or its config. It has ``semantic_scores``.
        short_sides: Shorter edges of the views; None for 0.5 to 1.75 times that of the image.
        max_long_side: Bound of the longer edges, or one for each of ``short_sides``; None for seven
            times the shorter edge.
        flip: Also mirror every view.
        data_preprocessor: For a module config that has none.

    Raises:
        UserError: ``max_long_side`` has another length than ``short_sides``.
    """

    def __init__(self, module: nn.Module | dict, *, short_sides: Sequence[int] | None = None,
                 max_long_side: int | Sequence[int] | None = None, flip: bool = True,
                 data_preprocessor: dict | None = None) -> None:
        super().__init__(module, data_preprocessor)
        self.short_sides = None if short_sides is None else tuple(short_sides)
        self.max_long_side = max_long_side
        if isinstance(max_long_side, Sequence) and len(max_long_side) != len(short_sides or ()):
            raise UserError(f'SemanticTTA: max_long_side={max_long_side} needs one bound for each '
                            f'of short_sides={short_sides}.')
        self.flip = flip

    @torch.no_grad()
    def test_step(self, data: dict) -> list:
        """Predict a batch as it comes from the data loader.

        Args:
            data: ``inputs``, a list of (3, h, w) uint8 images, and their ``data_samples``.

        Returns:
            The data samples with ``pred_sem_seg``.
        """
        for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
            labels = self.scores(image, sample).argmax(0)
            sample.pred_sem_seg = PixelData(sem_seg=labels[None])
        return list(data['data_samples'])

    def scores(self, image: Tensor, sample: object) -> Tensor:
        """Averaged class scores of an image (3, h, w), (K, H, W)."""
        total: Tensor | int = 0
        count = 0
        for view, mirrored in self._views(image):
            scores = self._view_scores(view, sample)
            total = total + (scores.flip(-1) if mirrored else scores)
            count += 1
        return total / count

    def merge_preds(self, data_samples_list: list) -> list:
        """Not used: :meth:`test_step` averages scores, of which data samples have none."""
        raise NotImplementedError('SemanticTTA averages scores in test_step')

    def _view_scores(self, view: Tensor, sample: object) -> Tensor:
        sample = sample.clone()
        sample.set_metainfo(dict(img_shape=tuple(view.shape[-2:])))
        data = self.module.data_preprocessor(dict(inputs=[view], data_samples=[sample]), False)
        return next(self.module.semantic_scores(data['inputs'], data['data_samples']))

    def _views(self, image: Tensor) -> Iterator[tuple[Tensor, bool]]:
        short = min(image.shape[-2:])
        sides = self.short_sides or [int(short * factor + 0.5) for factor in _FACTORS]
        limit = self.max_long_side or short * _LONG_FACTOR
        limits = limit if isinstance(limit, Sequence) else [limit] * len(sides)
        for side, longest in zip(sides, limits, strict=True):
            view = _resized(image, side, longest)
            yield view, False
            if self.flip:
                yield view.flip(-1), True


def _resized(image: Tensor, short: int, longest: int) -> Tensor:
    """An image with the shorter edge ``short``, unless the longer one would pass ``longest``."""
    height, width = image.shape[-2:]
    scale = min(short / min(height, width), longest / max(height, width))
    size = int(height * scale + 0.5), int(width * scale + 0.5)
    if size == (height, width):
        return image
    resized = functional.interpolate(
        image[None].float(), size=size, mode='bilinear', align_corners=False, antialias=True)[0]
    return resized.round().clamp(0, 255).to(image.dtype)
