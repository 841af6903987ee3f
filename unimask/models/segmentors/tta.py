"""Test-time augmentation: several sizes of an image, each plain and mirrored.

Shapes: K classes, (h, w) test image, (H, W) original image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from torch import Tensor, nn
from torch.nn import functional

from unimask.errors import UserError
from unimask.models.post_processors import MaskReadout, Readout
from unimask.models.segmentors.query_fusion import QueryFusion
from unimask.registry import MODELS

__all__ = ['SegmentorTTA', 'SemanticTTA']

_FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_LONG_FACTOR = 7  # published: 3584 for short side 512, 4480 for 640
_GRID_STRIDE = 4  # that of the mask features

View = tuple[Readout, bool]  # of a view, and whether it is a mirror image


@MODELS.register_module()
class SegmentorTTA(BaseTTAModel):
    """Predicts all tasks of a segmentor from resized and mirrored images.

    The views are made from the image after the test pipeline (Mask2Former), or after the config's
    ``tta_pipeline`` where there is one (SeMask-FPN, which resizes once). Semantic: class scores are
    averaged at the original size before the argmax, as in the published evaluation. Instance and
    panoptic: the queries of the views are fused (see :class:`QueryFusion`) and then read out by
    the segmentor's own post-processors. A size and its mirror image run as one batch where memory
    allows, the sizes one after the other.

    Args:
        module: The segmentor or its config.
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
            raise UserError(f'{type(self).__name__}: max_long_side={max_long_side} needs one bound '
                            f'for each of short_sides={short_sides}.')
        self.flip = flip

    @property
    def tasks(self) -> tuple[str, ...]:
        """What is predicted."""
        return self.module.tasks

    @torch.no_grad()
    def test_step(self, data: dict) -> list:
        """Predict a batch as it comes from the data loader.

        Args:
            data: ``inputs``, a list of (3, h, w) uint8 images, and their ``data_samples``.

        Returns:
            The data samples with the predictions of all tasks.
        """
        for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
            self._predict(image, sample)
        return list(data['data_samples'])

    def merge_preds(self, data_samples_list: list) -> list:
        """Not used: :meth:`test_step` merges what data samples do not have."""
        raise NotImplementedError('SegmentorTTA merges the views in test_step')

    def _predict(self, image: Tensor, sample: object) -> None:
        by_query = [task for task in self.tasks if task != 'semantic']
        scores: Tensor | int = 0
        fusion = None
        for readout, mirrored in self._readouts(image, sample):
            if 'semantic' in self.tasks:
                scores = scores + self._scores(readout, mirrored=mirrored)
            if by_query:
                fusion = fusion or QueryFusion(
                    views=self._count, limit=2 * len(readout.class_logits))
                fusion.add(_on_grid(readout, image), mirrored=mirrored)
        if 'semantic' in self.tasks:
            sample.pred_sem_seg = PixelData(sem_seg=scores.argmax(0)[None])
        for task in by_query:
            processor = self.module.post_processors[task]
            setattr(sample, processor.field, processor(
                fusion.readout(readout.plan.output), self.module.taxonomy))

    @property
    def _count(self) -> int:
        return len(self.short_sides or _FACTORS) * (1 + self.flip)

    def _scores(self, readout: Readout, *, mirrored: bool) -> Tensor:
        """The view's share in the averaged class scores, (K, H, W)."""
        scores = self.module.post_processors['semantic'].scores(readout) / self._count
        return scores.flip(-1) if mirrored else scores

    def _readouts(self, image: Tensor, sample: object) -> Iterator[View]:
        """All views of an image (3, h, w); the one nearest to its own size comes first."""
        for view in self._views(image):
            pair = [view, view.flip(-1)] if self.flip else [view]
            try:
                readouts = self._run(pair, sample)
            except torch.OutOfMemoryError:
                if not self.flip:
                    raise
                readouts = [self._run([one], sample)[0] for one in pair]
            yield from zip(readouts, (False, True), strict=False)

    def _run(self, views: Sequence[Tensor], sample: object) -> list[Readout]:
        samples = [sample.clone() for _ in views]
        for one in samples:
            one.set_metainfo(dict(img_shape=tuple(views[0].shape[-2:])))
        data = self.module.data_preprocessor(dict(inputs=list(views), data_samples=samples), False)
        return list(self.module.readouts(data['inputs'], data['data_samples']))

    def _views(self, image: Tensor) -> Iterator[Tensor]:
        short = min(image.shape[-2:])
        sides = self.short_sides or [int(short * factor + 0.5) for factor in _FACTORS]
        limit = self.max_long_side or short * _LONG_FACTOR
        limits = limit if isinstance(limit, Sequence) else [limit] * len(sides)
        for side, longest in sorted(zip(sides, limits, strict=True),
                                    key=lambda pair: abs(pair[0] - short)):
            yield _resized(image, side, longest)


@MODELS.register_module()
class SemanticTTA(SegmentorTTA):
    """The same for the semantic task alone, as it is published."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Semantic."""
        return ('semantic',)


def _on_grid(readout: MaskReadout, image: Tensor) -> MaskReadout:
    """The readout with its output on the grid of an image (3, h, w)."""
    grid = tuple(-(-edge // _GRID_STRIDE) for edge in image.shape[-2:])
    return replace(readout, plan=replace(readout.plan, output=grid))


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
