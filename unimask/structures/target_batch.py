"""The ground-truth segments of a batch.

Shapes: B images, M segments of all images, N segments of an image, R (segment, point set) pairs,
P points, (H, W) padded input size. Points are (x, y) in [0, 1] of the padded image, x first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unimask.errors import UserError
from unimask.ops import nearest, sample_labels
from unimask.structures.segment_targets import SegmentTargets


@dataclass(frozen=True)
class TargetBatch:
    """The segments of all images of a batch, one behind the other: M of them.

    Attributes:
        labels: (M,) int64.
        image_index: (M,) int64, the image of each segment.
        within_image: (M,) int64, the index of each segment among those of its image.
        counts: Segments per image.
        index_maps: (B, H, W) if no image has overlapping segments: index *within the image*.
        masks: (M, H, W) bool otherwise.
    """

    labels: Tensor
    image_index: Tensor
    within_image: Tensor
    counts: tuple[int, ...]
    index_maps: Tensor | None
    masks: Tensor | None

    @classmethod
    def stack(cls, targets: Sequence[SegmentTargets]) -> TargetBatch:
        """Join images of equal (padded) size."""
        labels = torch.cat([target.labels for target in targets])
        counts = tuple(len(target) for target in targets)
        # Both indices are made on the host, where the counts are known, and travel without a wait.
        places = torch.tensor(
            [(image, place) for image, count in enumerate(counts) for place in range(count)],
            dtype=torch.int64).reshape(-1, 2).to(labels.device, non_blocking=True)
        maps = masks = None
        if all(target.masks is None for target in targets):
            maps = torch.stack([target.index_map for target in targets])
        else:
            masks = torch.cat([target.dense() for target in targets])
        return cls(labels, places[:, 0], places[:, 1], counts, maps, masks)

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> TargetBatch:
        """A copy on another device; the host does not wait for it."""
        moved = {name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
                 for name, value in vars(self).items()}
        return TargetBatch(**moved)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        storage = self.index_maps if self.masks is None else self.masks
        return tuple(storage.shape[-2:])

    def sample(self, points: Tensor, segments: Tensor) -> Tensor:
        """Bilinear values of chosen segments: points (R, P, 2), segments (R,) -> (R, P).

        Four look-ups a point give the exact value, so that no mask is turned into floats.
        """
        if self.masks is None:
            return sample_labels(self.index_maps, self.image_index[segments],
                                 self.within_image[segments], points)
        return sample_labels(self.masks, segments, torch.ones_like(segments), points)

    def sample_shared(self, points: Tensor) -> Tensor:
        """Every segment at its image's points: (B, P, 2) -> (M, P)."""
        everything = torch.arange(len(self), device=self.labels.device)
        return self.sample(points[self.image_index], everything)

    def resize_nearest(self, size: tuple[int, int]) -> Tensor:
        """All segments at another size: (M, h, w) float32."""
        if self.masks is not None:
            return nearest(self.masks, size).float()
        picked = nearest(self.index_maps, size)[self.image_index]
        return (picked == self.within_image[:, None, None]).float()

    def select(self, segments: Tensor) -> Tensor:
        """Whole masks of chosen segments: (R,) -> (R, H, W) bool."""
        if self.masks is not None:
            return self.masks[segments]
        maps = self.index_maps[self.image_index[segments]]
        return maps == self.within_image[segments, None, None]

    def touches(self, size: tuple[int, int]) -> Tensor:
        """Cells of a grid that each segment reaches into, however little.

        Args:
            size: (h, w) of the grid.

        Returns:
            (M, h, w) bool: whether an area-resized mask would be above zero.
        """
        if len(self) == 0:
            return torch.zeros((0, *size), dtype=torch.bool, device=self.labels.device)
        steps = [old // new for old, new in zip(self.size, size, strict=True)]
        if any(step * new != old for step, new, old in zip(steps, size, self.size, strict=True)):
            # Cells share pixels: the pooling that knows their bounds, a mask at a time.
            return torch.cat([
                F.adaptive_max_pool2d(self.select(segment).float(), size) > 0
                for segment in torch.arange(len(self), device=self.labels.device).split(1)])
        if self.masks is not None:
            cells = self.masks.unflatten(2, (size[1], steps[1])).unflatten(1, (size[0], steps[0]))
            return cells.any(4).any(2)
        return self._scatter(size, steps)[self.image_index, self.within_image]

    def _scatter(self, size: tuple[int, int], steps: Sequence[int]) -> Tensor:
        """Touched cells by image and index, (B, max N + 1, h, w) bool, in one scatter."""
        device = self.labels.device
        images, slots = len(self.counts), max(self.counts) + 1
        row, column = (torch.arange(old, device=device) // step
                       for old, step in zip(self.size, steps, strict=True))
        first = torch.arange(images, device=device)[:, None, None] * slots
        place = ((first + self.index_maps) * size[0] + row[:, None]) * size[1] + column
        touched = torch.zeros(images * slots * size[0] * size[1], dtype=torch.bool, device=device)
        return touched.index_fill_(0, place.flatten(), True).view(images, slots, *size)

    def semantic_map(self, ignore: int = 255, *, overlap: str = 'refuse') -> Tensor:
        """Class of every pixel, (B, H, W) int64.

        Args:
            ignore: Value of pixels without segment.
            overlap: ``refuse`` overlapping segments, or ``ignore`` the pixels that belong to
                segments of different classes.

        Raises:
            UserError: If segments overlap and that is refused.
        """
        if self.masks is not None:
            return self._semantic_from_masks(ignore, refuse=overlap == 'refuse')
        slots = max(self.counts, default=0) + 1
        table = self.labels.new_full((len(self.counts), slots), ignore)
        table[self.image_index, self.within_image] = self.labels
        return table.gather(1, self.index_maps.flatten(1).long()).view(self.index_maps.shape)

    def _semantic_from_masks(self, ignore: int, *, refuse: bool) -> Tensor:
        if refuse and self._overlaps():
            raise UserError(
                'segments of an image overlap, so its pixels have no single class. Dense losses '
                'need a semantic or panoptic map, gt_sem_seg or gt_panoptic_seg; or pixels of '
                "several classes are left out: PixelCriterion's overlap='ignore'.")
        shape, device = (len(self.counts), *self.size), self.labels.device
        lowest = torch.full(shape, torch.iinfo(torch.int64).max, device=device)
        highest = torch.full(shape, -1, device=device)
        images = [image for image, count in enumerate(self.counts) for _ in range(count)]
        # One segment at a time: integer maps of all of them would be large.
        for image, mask, label in zip(images, self.masks, self.labels, strict=True):
            lowest[image] = torch.where(mask, lowest[image].minimum(label), lowest[image])
            highest[image] = torch.where(mask, highest[image].maximum(label), highest[image])
        return torch.where(lowest == highest, highest, ignore)

    def _overlaps(self) -> bool:
        covered = torch.zeros((len(self.counts), *self.size), dtype=torch.int32,
                              device=self.labels.device)
        covered.index_add_(0, self.image_index, self.masks.int())
        return bool((covered > 1).any())
