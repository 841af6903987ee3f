"""Noise of mask piloting: what the published code gets wrong (reference 5.9) and the amounts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unimask.errors import UserError
from unimask.models.piloting import PatchNoise, PointNoise, ScaleNoise, ShiftNoise

NOISES = (PointNoise, ShiftNoise, ScaleNoise, PatchNoise)


def box(height: int, width: int, *, rows: slice, columns: slice, copies: int = 1) -> Tensor:
    masks = torch.zeros(copies, height, width, dtype=torch.bool)
    masks[:, rows, columns] = True
    return masks


def edges(mask: Tensor) -> tuple[int, int, int, int]:
    """First row, last row, first column, last column."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


@pytest.mark.parametrize('noise', NOISES)
@pytest.mark.parametrize('shape', [(3, 6, 9), (3, 2, 6, 9), (0, 6, 9), (0, 2, 6, 9)])
def test_any_shape_of_bool_masks(noise: Callable, shape: tuple[int, ...]) -> None:
    found = noise(0.5)(torch.rand(shape) > 0.5)
    assert found.shape == shape and found.dtype == torch.bool


@pytest.mark.parametrize('noise', NOISES)
def test_no_noise_at_ratio_zero(noise: Callable) -> None:
    masks = torch.rand(20, 7, 11) > 0.7
    assert torch.equal(noise(0.0)(masks), masks)


@pytest.mark.parametrize('noise', NOISES)
def test_an_empty_mask_stays_empty(noise: Callable) -> None:
    masks = torch.zeros(50, 5, 8, dtype=torch.bool)
    assert not noise(1.0)(masks).any()


@pytest.mark.parametrize('noise', NOISES)
@pytest.mark.parametrize('ratio', [-0.1, 1.1, True, None])
def test_ratios_outside_their_range(noise: Callable, ratio: object) -> None:
    with pytest.raises(UserError, match=f'{noise.__name__}.ratio must be a number from 0 to 1'):
        noise(ratio)


@pytest.mark.parametrize('noise', NOISES)
def test_every_mask_and_head_has_a_draw_of_its_own(noise: Callable) -> None:
    masks = box(24, 36, rows=slice(6, 16), columns=slice(10, 24), copies=40)[:, None].expand(
        -1, 4, -1, -1)
    drawn = noise(0.5)(masks).flatten(0, 1)
    assert len(drawn.flatten(1).unique(dim=0)) > 1
    assert any(len(each.flatten(1).unique(dim=0)) > 1 for each in noise(0.5)(masks))


def test_points_flip_as_many_cells_as_said_all_over_the_map() -> None:
    masks = box(10, 20, rows=slice(2, 6), columns=slice(3, 13), copies=500)  # 40 of 200 cells
    flipped = PointNoise(0.2)(masks) ^ masks
    assert flipped.sum((1, 2)).float().mean() == pytest.approx(8, rel=0.1)
    inside = (flipped & masks).sum() / flipped.sum()
    assert float(inside) == pytest.approx(0.2, abs=0.05)


def test_a_shift_is_relative_to_the_box_axis_by_axis() -> None:
    """The published code moves rows by what is meant for columns."""
    masks = box(12, 60, rows=slice(5, 7), columns=slice(10, 50), copies=400)
    moved = ShiftNoise(0.5)(masks)
    assert moved.sum((1, 2)).eq(2 * 40).all()
    found = torch.tensor([edges(mask) for mask in moved])
    assert set((found[:, 0] - 5).tolist()) == {-1, 0, 1}  # half a cell, by chance a whole one
    across = found[:, 2] - 10
    assert across.min() >= -10 and across.max() <= 10 and across.abs().max() > 7


def test_a_shift_does_not_depend_on_padding_and_stays_inside() -> None:
    small = box(10, 12, rows=slice(3, 6), columns=slice(4, 8), copies=100)
    large = box(20, 30, rows=slice(3, 6), columns=slice(4, 8), copies=100)
    torch.manual_seed(3)
    first = ShiftNoise(0.8)(small)
    torch.manual_seed(3)
    assert torch.equal(ShiftNoise(0.8)(large)[:, :10, :12], first)
    corner = ShiftNoise(1.0)(box(6, 8, rows=slice(0, 4), columns=slice(5, 8), copies=100))
    assert corner.sum((1, 2)).eq(12).all()


def test_a_single_cell_moves_sometimes() -> None:
    moved = ShiftNoise(0.4)(box(5, 5, rows=slice(2, 3), columns=slice(2, 3), copies=2000))
    assert 1 - float(moved[:, 2, 2].float().mean()) == pytest.approx(1 - 0.9**2, abs=0.05)


def test_scaling_about_the_centre_on_both_axes() -> None:
    """The published code scales both axes with the map's width."""
    masks = box(30, 64, rows=slice(10, 18), columns=slice(20, 40))
    assert edges(ScaleNoise(0.5, probability=1)(masks)[0]) == (8, 19, 15, 44)
    assert torch.equal(ScaleNoise(0.5, probability=0)(masks), masks)


def test_scaling_hits_as_many_masks_as_said() -> None:
    masks = box(30, 64, rows=slice(10, 20), columns=slice(20, 40), copies=1000)
    grown = (ScaleNoise(0.5, probability=0.3)(masks) != masks).flatten(1).any(1)
    assert float(grown.float().mean()) == pytest.approx(0.3, abs=0.05)


def test_a_patch_adds_a_rectangle_of_the_area() -> None:
    masks = box(40, 60, rows=slice(0, 10), columns=slice(0, 20), copies=500)
    found = PatchNoise(0.5)(masks)
    assert (found | ~masks).all()  # nothing is taken away
    areas = []
    for mask in found & ~masks:
        if not mask.any() or mask[:10, :20].any() or mask[:11, :21].any():
            continue  # perhaps partly hidden by the mask
        top, bottom, left, right = edges(mask)
        assert mask[top:bottom + 1, left:right + 1].all()
        assert 0.35 <= (bottom - top + 1) / (right - left + 1) <= 2.8
        areas.append(int(mask.sum()))
    assert len(areas) > 200 and sum(areas) / len(areas) == pytest.approx(100, rel=0.05)
