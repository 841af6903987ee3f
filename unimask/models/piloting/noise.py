"""Noise for the masks that guide piloted queries (MP-Former, section 3.2).

A noise is called with bool masks (..., h, w) at the size of a memory level and returns such masks:
every mask, and with an axis of heads every head, gets a draw of its own. Sizes and places are in
cells of that level and relative to the mask itself, so that neither the image's shape nor its
padding matters. Nothing here makes the host wait for a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unimask.errors import UserError
from unimask.registry import TASK_UTILS

__all__ = ['PatchNoise', 'PointNoise', 'ScaleNoise', 'ShiftNoise']


@TASK_UTILS.register_module()
class PointNoise:
    """Flips single cells anywhere, in expectation ``ratio`` times the mask's area of them.

    Args:
        ratio: From 0 (no noise) to 1; MP-Former uses 0.2.
    """

    def __init__(self, ratio: float = 0.2) -> None:
        self.ratio = fraction('PointNoise.ratio', ratio)

    def __call__(self, masks: Tensor) -> Tensor:
        cells = masks.flatten(-2)
        chance = self.ratio * cells.sum(-1, keepdim=True) / max(cells.shape[-1], 1)
        return (cells ^ (torch.rand_like(cells, dtype=torch.float32) < chance)).view_as(masks)


@TASK_UTILS.register_module()
class ShiftNoise:
    """Moves a mask by up to ``ratio / 2`` of its box's width and height, inside the map.

    A part of a cell counts as the chance of a whole one, so that small masks move too.

    Args:
        ratio: From 0 (no noise) to 1.
    """

    def __init__(self, ratio: float = 0.2) -> None:
        self.ratio = fraction('ShiftNoise.ratio', ratio)

    def __call__(self, masks: Tensor) -> Tensor:
        for axis in (-2, -1):
            first, last, length = extent(masks, axis)
            reach = self.ratio * (last - first + 1) / 2
            offset = whole((2 * torch.rand_like(reach) - 1) * reach)
            offset = offset.clamp(min=-first, max=length - 1 - last)
            places = torch.arange(length, device=masks.device) - offset[..., None]
            masks = pick(masks, places, axis)
        return masks


@TASK_UTILS.register_module()
class ScaleNoise:
    """Enlarges a mask about the centre of its box.

    Args:
        ratio: By how much, from 0 (no noise) to 1 (twice as wide and high).
        probability: How often; the others stay.
    """

    def __init__(self, ratio: float = 0.2, probability: float = 0.5) -> None:
        self.ratio = fraction('ScaleNoise.ratio', ratio)
        self.probability = fraction('ScaleNoise.probability', probability)

    def __call__(self, masks: Tensor) -> Tensor:
        grown = masks
        for axis in (-2, -1):
            first, last, length = extent(masks, axis)
            centre = (first + last)[..., None] / 2
            away = torch.arange(length, device=masks.device) - centre
            grown = pick(grown, (centre + away / (1 + self.ratio)).round().long(), axis)
        chosen = torch.rand(masks.shape[:-2], device=masks.device) < self.probability
        return torch.where(chosen[..., None, None], grown, masks)


@TASK_UTILS.register_module()
class PatchNoise:
    """Adds a rectangle at a random place, ``ratio`` times as large as the mask.

    Args:
        ratio: From 0 (no noise) to 1.
    """

    def __init__(self, ratio: float = 0.2) -> None:
        self.ratio = fraction('PatchNoise.ratio', ratio)

    def __call__(self, masks: Tensor) -> Tensor:
        height, width = masks.shape[-2:]
        area = self.ratio * masks.flatten(-2).sum(-1).float()
        slimness = 2 ** (2 * torch.rand_like(area) - 1)  # height over width, 1/2 to 2
        high = whole((area * slimness).sqrt()).clamp(max=height)
        wide = whole(area / high.clamp(min=1)).clamp(max=width)
        rows, columns = random_run(high, height), random_run(wide, width)
        return masks | (rows[..., :, None] & columns[..., None, :])


def fraction(name: str, value: float) -> float:
    """The value, if it is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UserError(f'{name} must be a number from 0 to 1, not {value!r}.')
    return float(value)


def extent(masks: Tensor, axis: int) -> tuple[Tensor, Tensor, int]:
    """First and last occupied place (...) along the axis -2 or -1, and its length.

    Of an empty mask it is the whole axis.
    """
    occupied = masks.any(-1 if axis == -2 else -2).int()
    length = occupied.shape[-1]
    if length == 0:
        empty = occupied.sum(-1)
        return empty, empty, 0
    return occupied.argmax(-1), length - 1 - occupied.flip(-1).argmax(-1), length


def whole(values: Tensor) -> Tensor:
    """Rounded up or down at random so that the expectation stays, int64."""
    return (values + torch.rand_like(values)).floor().long()


def pick(masks: Tensor, places: Tensor, axis: int) -> Tensor:
    """Rows (axis -2) or columns (-1) from other places (..., length); nothing from outside."""
    length = masks.shape[axis]
    inside = ((places >= 0) & (places < length)).unsqueeze(-3 - axis)
    index = places.clamp(0, max(length - 1, 0)).unsqueeze(-3 - axis)
    return masks.gather(axis, index.expand(masks.shape)) & inside


def random_run(lengths: Tensor, total: int) -> Tensor:
    """As many neighbouring cells of ``total`` as said, from a random place: (..., total) bool."""
    start = (torch.rand(lengths.shape, device=lengths.device) * (total - lengths + 1)).long()
    cells = torch.arange(total, device=lengths.device)
    return (cells >= start[..., None]) & (cells < (start + lengths)[..., None])
