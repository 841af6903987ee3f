"""The loss against the intersection over union, and a training with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from projects.example_project.example import MaskLovaszLoss
from unimask.engine import Runner
from unimask.errors import UserError

CONFIG = Path(__file__).resolve().parents[1] / 'configs/resnet10t_1xb4_shapes-lovasz.py'


def loss(logits: list[float], segment: list[int]) -> float:
    """Of one pair of a mask and a segment, point by point."""
    return MaskLovaszLoss()(
        torch.tensor(logits)[None, None], torch.tensor(segment).float()[None, None]).item()


@pytest.mark.parametrize(('mask', 'segment', 'iou'), [
    ([1, 1, 0, 1, 1, 0], [1, 1, 1, 0, 0, 0], 2 / 5),
    ([1, 0, 0, 0], [1, 1, 1, 1], 1 / 4),
    ([1, 1, 0], [1, 1, 0], 1),
    ([0, 0, 1], [1, 1, 0], 0)])
def test_masks_without_doubt_lose_the_intersection_over_union(
        mask: list[int], segment: list[int], iou: float) -> None:
    """At logits of 1 and -1 the error of a wrong point is 2, that of a right one 0."""
    assert loss([2.0 * point - 1 for point in mask], segment) == pytest.approx(2 * (1 - iou))


def test_the_worst_point_weighs_most() -> None:
    # sorted errors 3, 0.5 and 0; steps of 1 - IoU for a segment of 2 points: 1/2, 1/2, 0
    assert loss([-2.0, 0.5, -1.0], [1, 1, 0]) == pytest.approx(3 / 2 + 0.5 / 2)


def test_pairs_are_summed_and_weighted() -> None:
    logits, masks = torch.randn(3, 4, 10), torch.rand(3, 4, 10)
    each = torch.stack([MaskLovaszLoss()(logits[:, pair:pair + 1], masks[:, pair:pair + 1])
                        for pair in range(4)])
    torch.testing.assert_close(MaskLovaszLoss(weight=2.0)(logits, masks), 2 * each.sum(0))
    assert MaskLovaszLoss()(torch.zeros(3, 0, 10), torch.zeros(3, 0, 10)).tolist() == [0, 0, 0]


def test_a_gradient_makes_masks_better() -> None:
    logits = torch.zeros(1, 1, 50, requires_grad=True)
    masks = (torch.arange(50) < 10).float()[None, None]
    for _ in range(300):
        gradient, = torch.autograd.grad(MaskLovaszLoss()(logits, masks).sum(), logits)
        logits = (logits - 0.1 * gradient).detach().requires_grad_()
    assert torch.equal(logits > 0, masks > 0)


def test_a_weight_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UserError, match='weight=-1'):
        MaskLovaszLoss(weight=-1.0)


def test_two_iterations(short_run: Callable[..., Config]) -> None:
    runner = Runner.from_cfg(short_run(CONFIG, max_iters=2, **{
        'model.neck.num_layers': 1, 'model.head.num_layers': 2}))
    runner.train()
    assert runner.iter == 2
    for name in ('lovasz', 'mask', 'dice'):
        assert runner.message_hub.get_scalar(f'train/loss_{name}').current() > 0
