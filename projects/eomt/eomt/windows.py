"""Semantic maps of images that are longer than what a model was trained on.

Shapes: K classes, (h, w) test image, (H, W) original image.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from torch import Tensor, nn

from unimask.registry import MODELS

__all__ = ['SlidingWindow', 'window_starts']


@MODELS.register_module()
class SlidingWindow(BaseTTAModel):
    """Square windows along an image, whose class scores are averaged where they overlap.

    Used as ``tta_model`` with ``--tta``, as EoMT is evaluated on ADE20K and Cityscapes: the test
    pipeline brings the short edge to the window's.

    Args:
        module: The segmentor or its config.
        size: Edge of the window in pixels.
        data_preprocessor: For a module config that has none.
    """

    def __init__(self, module: nn.Module | dict, *, size: int = 512,
                 data_preprocessor: dict | None = None) -> None:
        super().__init__(module, data_preprocessor)
        self.size = size

    @torch.no_grad()
    def test_step(self, data: dict) -> list:
        """Predict a batch as it comes from the data loader.

        Args:
            data: ``inputs``, a list of (3, h, w) uint8 images, and their ``data_samples``.

        Returns:
            The data samples with ``pred_sem_seg``.
        """
        for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
            scores = self.scores(image, sample)[None]
            scores = F.interpolate(scores, tuple(sample.ori_shape)[:2], mode='bilinear')[0]
            sample.pred_sem_seg = PixelData(sem_seg=scores.argmax(0)[None])
        return list(data['data_samples'])

    def merge_preds(self, data_samples_list: list) -> list:
        """Not used: :meth:`test_step` merges scores, which data samples do not have."""
        raise NotImplementedError('SlidingWindow merges the windows in test_step')

    def scores(self, image: Tensor, sample: object) -> Tensor:
        """Class scores (K, h, w) of an image (3, h, w)."""
        height, width = image.shape[-2:]
        total: Tensor | float = 0.0
        count = 0
        for top in window_starts(height, self.size):
            for left in window_starts(width, self.size):
                window = image[:, top:top + self.size, left:left + self.size]
                part = self._window_scores(window, sample)
                border = (left, width - left - part.shape[-1], top, height - top - part.shape[-2])
                total = total + F.pad(part, border)
                count = count + F.pad(torch.ones_like(part[:1]), border)
        return total / count

    def _window_scores(self, window: Tensor, sample: object) -> Tensor:
        view = sample.clone()
        size = tuple(window.shape[-2:])
        view.set_metainfo(dict(img_shape=size, ori_shape=size))
        data = self.module.data_preprocessor(dict(inputs=[window], data_samples=[view]), False)
        return next(iter(self.module.semantic_scores(data['inputs'], data['data_samples'])))


def window_starts(length: int, size: int) -> list[int]:
    """Where windows begin that cover an edge evenly: the first at 0, the last up to its end."""
    if length <= size:
        return [0]
    count = -(-length // size)
    return [round(index * (length - size) / (count - 1)) for index in range(count)]
