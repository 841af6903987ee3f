"""Ground-truth segments, held compactly.

Shapes: N segments of an image, P points, (H, W) padded input size.
Points are (x, y) in [0, 1] of the padded image, x first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from unimask.ops import nearest, sample_labels


@dataclass(frozen=True)
class SegmentTargets:
    """The segments of one image.

    Exactly one of the two storages is set. Segments that cannot overlap share one map of segment
    indices; others keep a bool mask each. Float masks at full size never exist.

    Attributes:
        labels: (N,) int64.
        index_map: (H, W) int16 or int32, the segment's index at each pixel, N where there is none.
        masks: (N, H, W) bool.
    """

    labels: Tensor
    index_map: Tensor | None = None
    masks: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.index_map is None) == (self.masks is None):
            raise ValueError('SegmentTargets holds either an index map or masks.')
        if self.masks is not None and len(self.masks) != len(self.labels):
            raise ValueError(
                f'{len(self.labels)} labels do not fit {len(self.masks)} masks.')

    @classmethod
    def from_id_map(cls, id_map: Tensor, ids: Sequence[int] | Tensor,
                    labels: Sequence[int] | Tensor) -> SegmentTargets:
        """Segments of a map of ids; an id that does not occur gives an empty mask.

        Args:
            id_map: (H, W) integers; ids that are not listed belong to no segment.
            ids: (N,) ids of the segments.
            labels: (N,) classes of the segments.
        """
        device = id_map.device
        ids = torch.as_tensor(ids, dtype=torch.int64, device=device).reshape(-1)
        labels = torch.as_tensor(labels, dtype=torch.int64, device=device).reshape(-1)
        if len(ids) == 0:
            return cls(labels, index_map=torch.zeros_like(id_map, dtype=torch.int16))
        return cls(labels, index_map=_indices_of(id_map, ids))

    @classmethod
    def from_masks(cls, masks: Tensor, labels: Sequence[int] | Tensor) -> SegmentTargets:
        """Segments that may overlap: ``masks`` (N, H, W), ``labels`` (N,)."""
        labels = torch.as_tensor(labels, dtype=torch.int64, device=masks.device).reshape(-1)
        return cls(labels, masks=masks.to(torch.bool))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        storage = self.index_map if self.masks is None else self.masks
        return tuple(storage.shape[-2:])

    def pad(self, size: tuple[int, int]) -> SegmentTargets:
        """Grow to ``size`` at the right and at the bottom; no segment reaches there.

        Raises:
            ValueError: If the segments are larger than ``size``.
        """
        rows, columns = size[0] - self.size[0], size[1] - self.size[1]
        if rows < 0 or columns < 0:
            raise ValueError(
                f'The ground truth has size {self.size} (height, width), which does not fit into '
                f'the input of size {tuple(size)}: were image and annotation resized alike?')
        if rows == 0 and columns == 0:
            return self
        border = (0, columns, 0, rows)
        if self.masks is None:
            return replace(self, index_map=F.pad(self.index_map, border, value=len(self)))
        return replace(self, masks=F.pad(self.masks, border))

    def at_size(self, size: tuple[int, int]) -> SegmentTargets:
        """The segments of an image that was resized to ``size`` (nearest)."""
        if self.size == tuple(size):
            return self
        if self.masks is None:
            return replace(self, index_map=nearest(self.index_map, size))
        return replace(self, masks=nearest(self.masks, size))

    def to(self, device: torch.device | str) -> SegmentTargets:
        """A copy on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return SegmentTargets(**moved)

    def dense(self) -> Tensor:
        """All masks, (N, H, W) bool."""
        if self.masks is not None:
            return self.masks
        indices = torch.arange(len(self), device=self.labels.device)
        return self.index_map == indices[:, None, None]

    def sample(self, points: Tensor) -> Tensor:
        """Bilinear values of the 0/1 masks (``grid_sample``, no aligned corners, zeros outside).

        Args:
            points: (P, 2) shared by all segments, or (..., N, P, 2).

        Returns:
            (N, P) or (..., N, P) in the points' float type.
        """
        if points.dim() == 2:
            points = points.expand(len(self), *points.shape)
        segments = torch.arange(len(self), device=self.labels.device)
        segments = segments.expand(points.shape[:-2]).reshape(-1)
        flat = points.reshape(-1, *points.shape[-2:])
        if self.masks is None:
            values = sample_labels(
                self.index_map[None], torch.zeros_like(segments), segments, flat)
        else:
            values = sample_labels(self.masks, segments, torch.ones_like(segments), flat)
        return values.reshape(points.shape[:-1])

    def resize(self, size: tuple[int, int], mode: str = 'nearest') -> Tensor:
        """Masks at another size.

        Args:
            size: (h, w).
            mode: ``nearest``, ``bilinear`` (no aligned corners) or ``area``.

        Returns:
            (N, h, w) float32.

        Raises:
            ValueError: If the mode is unknown.
        """
        if mode not in ('nearest', 'bilinear', 'area'):
            raise ValueError(f'mode must be nearest, bilinear or area, not {mode!r}.')
        if len(self) == 0:
            return torch.zeros((0, *size), device=self.labels.device)
        if mode == 'nearest' and self.masks is None:
            # Pick first, then compare: the masks never exist at full size.
            picked = nearest(self.index_map, size)
            indices = torch.arange(len(self), device=self.labels.device)
            return (picked == indices[:, None, None]).float()
        if mode == 'nearest':
            return nearest(self.masks, size).float()
        # One segment at a time keeps the full-size float masks out of memory.
        slices = [F.interpolate(mask[None, None].float(), size, mode=mode)[0, 0]
                  for mask in self.dense()]
        return torch.stack(slices)


def _indices_of(id_map: Tensor, ids: Tensor) -> Tensor:
    """Position of every pixel's id in ``ids``, their number where it is none of them."""
    count = len(ids)
    kind = torch.int16 if count < 2**15 else torch.int32
    low, high = int(ids.min()), int(ids.max())
    if low >= 0 and high < 2**20:  # a table is several times faster than a search
        table = torch.full((high + 2,), count, dtype=kind, device=ids.device)
        table[ids] = torch.arange(count, dtype=kind, device=ids.device)
        unknown = (id_map < 0) | (id_map > high)
        return table[id_map.long().masked_fill(unknown, high + 1)]
    sorted_ids, order = ids.sort()
    position = torch.searchsorted(sorted_ids, id_map.to(torch.int64)).clamp_(max=count - 1)
    return torch.where(sorted_ids[position] == id_map, order[position], count).to(kind)
