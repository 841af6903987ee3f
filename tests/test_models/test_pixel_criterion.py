"""Dense cross-entropy against a twin that loops over pixels."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unimask.errors import UserError
from unimask.models.losses import PixelCriterion
from unimask.structures import DensePrediction, SegmentTargets, TargetBatch


def batch() -> TargetBatch:
    """Two images of 8 x 12: classes 2 and 0, and void; class 1 alone on a part."""
    first = torch.zeros(8, 12, dtype=torch.int32)
    first[:4], first[4:, 6:] = 5, 9
    second = torch.zeros(8, 12, dtype=torch.int32)
    second[2:5, 3:7] = 1
    return TargetBatch.stack([
        SegmentTargets.from_id_map(first, [5, 9], [2, 0]),
        SegmentTargets.from_id_map(second, [1], [1])])


def pixel_losses(logits: Tensor) -> list[float]:
    """Minus the log-probability of every valid pixel's class, logits (2, 3, 8, 12)."""
    classes = torch.full((2, 8, 12), -1)
    classes[0, :4], classes[0, 4:, 6:], classes[1, 2:5, 3:7] = 2, 0, 1
    losses = []
    for image, row, column in (classes >= 0).nonzero().tolist():
        scores = logits[image, :, row, column].tolist()
        total = sum(math.exp(score) for score in scores)
        losses.append(-math.log(math.exp(scores[classes[image, row, column]]) / total))
    return losses


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('average, count', [('valid', 84), ('all', 192)])
@pytest.mark.parametrize('hardest', [None, 10, 10_000])
def test_equals_twin(average: str, count: int, hardest: int | None, align_corners: bool) -> None:
    logits = torch.randn(2, 2, 3, 4, 6)
    criterion = PixelCriterion(
        weight=0.4, average=average, hardest=hardest, align_corners=align_corners)
    found = criterion(DensePrediction(logits), batch())
    assert list(found) == ['loss_sem', 'd0.loss_sem']
    for name, layer in (('d0.loss_sem', 0), ('loss_sem', 1)):
        full = F.interpolate(
            logits[layer], (8, 12), mode='bilinear', align_corners=align_corners)
        kept = sorted(pixel_losses(full), reverse=True)[:None if hardest is None else 2 * hardest]
        assert found[name].item() == pytest.approx(0.4 * sum(kept) / count, rel=1e-4)


@pytest.mark.parametrize('average', ['valid', 'all'])
def test_nothing_but_void(average: str) -> None:
    logits = torch.randn(1, 1, 3, 4, 6, requires_grad=True)
    void = TargetBatch.stack([
        SegmentTargets.from_id_map(torch.zeros(8, 12, dtype=torch.int32), [], [])])
    loss = PixelCriterion(average=average, hardest=5)(DensePrediction(logits), void)['loss_sem']
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()


def test_overlapping_segments_are_refused() -> None:
    masks = torch.ones(2, 8, 12, dtype=torch.bool)
    targets = TargetBatch.stack([SegmentTargets.from_masks(masks, [0, 1])])
    with pytest.raises(ValueError, match='segments of an image overlap'):
        PixelCriterion()(DensePrediction(torch.zeros(1, 1, 3, 4, 6)), targets)


@pytest.mark.parametrize('options', [
    dict(average='mean'), dict(hardest=0), dict(overlap='drop')])
def test_wrong_options(options: dict) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        PixelCriterion(**options)
