"""Instances that stay polygons or run-length codes until masks are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pycocotools import mask as rle

from unimask.datasets.transforms.geometry import pil_nearest, shape_within

__all__ = ['Frame', 'InstanceShapes']


@dataclass(frozen=True)
class Axis:
    """How one axis of the current frame comes from the original image.

    A pixel keeps the original pixel it shows, ``source`` (n,), -1 for padding; a coordinate x of
    the original lies at ``scale * x + shift``.
    """

    source: np.ndarray
    scale: float = 1.0
    shift: float = 0.0

    @classmethod
    def of(cls, size: int) -> Axis:
        return cls(np.arange(size))

    def resized(self, size: int) -> Axis:
        factor = size / len(self.source)
        return Axis(self.source[pil_nearest(len(self.source), size)],
                    self.scale * factor, self.shift * factor)

    def flipped(self) -> Axis:
        return Axis(self.source[::-1], -self.scale, len(self.source) - self.shift)

    def cropped(self, start: int, stop: int) -> Axis:
        return replace(self, source=self.source[start:stop], shift=self.shift - start)

    def padded(self, size: int) -> Axis:
        extra = np.full(max(size - len(self.source), 0), -1)
        return replace(self, source=np.concatenate([self.source, extra]))


@dataclass(frozen=True)
class Frame:
    """The part of the original image that is in view."""

    rows: Axis
    columns: Axis

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return len(self.rows.source), len(self.columns.source)


class InstanceShapes:
    """Outlines of N instances, seen through a frame that geometric transforms move.

    It has the methods of mmdet's mask structures that transforms call, but costs nothing until
    ``to_ndarray``: then polygons are rasterised in the final frame, and run-length codes are
    decoded once and sampled to the nearest pixel.

    Args:
        outlines: Per instance a list of polygons [x0, y0, x1, ...] or a COCO run-length code, in
            pixels of the original image.
        shape: Height and width of the original image.
        frame: What is in view; the whole image by default.
    """

    def __init__(self, outlines: Sequence[list | dict], *, shape: tuple[int, int],
                 frame: Frame | None = None) -> None:
        self.outlines = list(outlines)
        self.original_shape = shape
        self.frame = frame or Frame(Axis.of(shape[0]), Axis.of(shape[1]))

    def __len__(self) -> int:
        return len(self.outlines)

    def __getitem__(self, index: np.ndarray | slice | int) -> InstanceShapes:
        chosen = np.atleast_1d(np.arange(len(self))[index])
        return InstanceShapes([self.outlines[i] for i in chosen], shape=self.original_shape,
                              frame=self.frame)

    @property
    def height(self) -> int:
        """Of the current frame."""
        return self.frame.shape[0]

    @property
    def width(self) -> int:
        """Of the current frame."""
        return self.frame.shape[1]

    def resize(self, out_shape: tuple[int, int], interpolation: str = 'nearest') -> InstanceShapes:
        """Resize the frame to (height, width); masks are always nearest."""
        rows = self.frame.rows.resized(out_shape[0])
        return self._through(Frame(rows, self.frame.columns.resized(out_shape[1])))

    def rescale(self, scale: float | tuple[int, int],
                interpolation: str = 'nearest') -> InstanceShapes:
        """Resize the frame with its aspect kept: by a factor, or into (width, height)."""
        return self.resize(shape_within(self.frame.shape, scale))

    def flip(self, flip_direction: str = 'horizontal') -> InstanceShapes:
        """Mirror the frame: ``horizontal``, ``vertical`` or ``diagonal`` (both)."""
        rows, columns = self.frame.rows, self.frame.columns
        if flip_direction in ('vertical', 'diagonal'):
            rows = rows.flipped()
        if flip_direction in ('horizontal', 'diagonal'):
            columns = columns.flipped()
        return self._through(Frame(rows, columns))

    def crop(self, bbox: np.ndarray) -> InstanceShapes:
        """Keep the box x0, y0, x1, y1 (integers, end exclusive) of the frame."""
        x0, y0, x1, y1 = (int(v) for v in bbox)
        return self._through(
            Frame(self.frame.rows.cropped(y0, y1), self.frame.columns.cropped(x0, x1)))

    def pad(self, out_shape: tuple[int, int], pad_val: int = 0) -> InstanceShapes:
        """Extend the frame at bottom and right to (height, width); no mask reaches there."""
        return self._through(
            Frame(self.frame.rows.padded(out_shape[0]), self.frame.columns.padded(out_shape[1])))

    def to_ndarray(self) -> np.ndarray:
        """The masks in the current frame, (N, h, w) uint8."""
        masks = np.zeros((len(self), *self.frame.shape), np.uint8)
        for mask, outline in zip(masks, self.outlines, strict=True):
            mask[:] = self._polygons(outline) if isinstance(outline, list) else self._code(outline)
        rows, columns = self.frame.rows.source, self.frame.columns.source
        masks[:, rows < 0] = 0
        masks[:, :, columns < 0] = 0
        return masks

    def _through(self, frame: Frame) -> InstanceShapes:
        return InstanceShapes(self.outlines, shape=self.original_shape, frame=frame)

    def _polygons(self, polygons: list) -> np.ndarray:
        rows, columns = self.frame.rows, self.frame.columns
        moved = []
        for polygon in polygons:
            points = np.asarray(polygon, np.float64).reshape(-1, 2)
            moved.append((points * (columns.scale, rows.scale)
                          + (columns.shift, rows.shift)).reshape(-1).tolist())
        return rle.decode(rle.merge(rle.frPyObjects(moved, *self.frame.shape)))

    def _code(self, code: dict) -> np.ndarray:
        if isinstance(code['counts'], list):
            code = rle.frPyObjects(code, *code['size'])
        mask = rle.decode(code)
        return mask[self.frame.rows.source[:, None], self.frame.columns.source]
