"""Masks in little memory, and boxes."""

import pytest
import torch

from unimask.structures.masks import PackedMasks, boxes_of_extents, mask_boxes, pack_bits


@pytest.mark.parametrize('width', [1, 7, 8, 9, 33])
def test_packed_masks_are_the_masks(width: int):
    masks = torch.rand((5, 4, width), generator=torch.Generator().manual_seed(0)) > 0.5
    packed = PackedMasks(pack_bits(masks), width)
    assert len(packed) == 5 and packed.shape == (5, 4, width)
    assert packed.bits.shape == (5, 4, -(-width // 8)) and packed.bits.dtype == torch.uint8
    assert all(torch.equal(packed[index], masks[index]) for index in range(-5, 5))
    assert torch.equal(torch.stack(list(packed)), masks)
    assert torch.equal(packed[1:3][1], masks[2]) and len(packed[1:3]) == 2
    assert torch.equal(packed[masks[:, 0, 0]][-1], masks[masks[:, 0, 0]][-1])
    assert torch.equal(packed.cpu()[torch.tensor([3, 0])][0], masks[3])


def test_no_masks():
    packed = PackedMasks(pack_bits(torch.zeros((0, 4, 9), dtype=torch.bool)), 9)
    assert packed.shape == (0, 4, 9) and list(packed) == []


def test_boxes_from_extents():
    masks = torch.zeros((2, 6, 8), dtype=torch.bool)
    masks[0, 2, 1], masks[0, 4, 6] = True, True
    assert boxes_of_extents(masks.any(1), masks.any(2)).tolist() == [[1, 2, 7, 5], [0, 0, 0, 0]]
    assert torch.equal(boxes_of_extents(masks.any(1), masks.any(2)), mask_boxes(masks))
