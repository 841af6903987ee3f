"""The synthetic batch that both sides of a benchmark work on.

Shapes: B batch, S side of the square image, N segments per image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NUM_THINGS = 80  # COCO panoptic: labels 0..79 are things,
NUM_CLASSES = 133  # 80..132 are stuff


@dataclass(frozen=True)
class Workload:
    """Preprocessed images with panoptic truth.

    Attributes:
        images: (B, 3, S, S) float32, already normalised.
        segment_ids: (B, S, S) int64; pixel value ``n + 1`` belongs to segment ``n``.
        labels: one (N,) int64 tensor of COCO panoptic labels per image.
    """

    images: Tensor
    segment_ids: Tensor
    labels: tuple[Tensor, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the network input and of the original image."""
        return self.images.shape[-2], self.images.shape[-1]

    def masks(self, index: int) -> Tensor:
        """Boolean masks (N, S, S) of one image."""
        ids = torch.arange(1, len(self.labels[index]) + 1, device=self.segment_ids.device)
        return self.segment_ids[index] == ids[:, None, None]

    def to(self, device: torch.device) -> Workload:
        """The same workload with every tensor on ``device``."""
        return Workload(
            images=self.images.to(device),
            segment_ids=self.segment_ids.to(device),
            labels=tuple(labels.to(device) for labels in self.labels),
        )


def make_workload(*, size: int, batch: int, objects: int, seed: int) -> Workload:
    """Make ``batch`` images of ``objects`` cells (nearest-seed regions), half things, half stuff.

    Args:
        size: side of the square images in pixels.
        objects: segments per image; they cover the image without overlap.
    """
    rng = torch.Generator().manual_seed(seed)
    maps = [_cells(size=size, count=objects, rng=rng) for _ in range(batch)]
    labels = tuple(_labels(objects, rng) for _ in range(batch))
    segment_ids = torch.stack(maps)
    colours = torch.randn(batch, objects + 1, 3, generator=rng)
    images = torch.stack([colours[i][segment_ids[i]] for i in range(batch)]).permute(0, 3, 1, 2)
    noise = 0.3 * torch.randn(batch, 3, size, size, generator=rng)
    return Workload((images + noise).contiguous(), segment_ids, labels)


def _cells(*, size: int, count: int, rng: torch.Generator) -> Tensor:
    """Map (S, S) of ids 1..count: the nearest of ``count`` random points owns a pixel."""
    points = torch.rand(count, 2, generator=rng) * size
    line = torch.arange(size) + 0.5
    grid = torch.stack(torch.meshgrid(line, line, indexing='ij'), dim=-1).reshape(-1, 2)
    return torch.cdist(grid, points).argmin(dim=1).reshape(size, size) + 1


def _labels(count: int, rng: torch.Generator) -> Tensor:
    """Random things first, then stuff classes that differ from one another."""
    num_stuff = min(count // 2, NUM_CLASSES - NUM_THINGS)
    things = torch.randint(NUM_THINGS, (count - num_stuff,), generator=rng)
    stuff = torch.randperm(NUM_CLASSES - NUM_THINGS, generator=rng)[:num_stuff] + NUM_THINGS
    return torch.cat([things, stuff])
