"""Costs and mask losses against their formulas, one query, segment and point at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from door import build, cost, to_numpy
from plain import class_cost, dice, mean_bce, mean_focal, sigmoid, softplus

QUERIES, SEGMENTS, CLASSES, POINTS = 6, 4, 5, 23
MASK_COSTS = {'MaskBCECost': mean_bce, 'MaskFocalCost': mean_focal, 'DiceCost': dice}


@pytest.fixture(params=['fractions', 'zeros and ones', 'large logits'])
def inputs(request: pytest.FixtureRequest) -> dict:
    scale = 40 if request.param == 'large logits' else 3
    masks = torch.rand(SEGMENTS, POINTS)
    if request.param == 'zeros and ones':
        masks = (masks > 0.6).float()
        masks[1] = 0
    return dict(class_logits=2 * torch.randn(QUERIES, CLASSES + 1),
                labels=torch.tensor([3, 0, 3, 4]), masks=masks,
                mask_logits=scale * torch.randn(QUERIES, POINTS))


@pytest.mark.parametrize('name', MASK_COSTS)
@pytest.mark.parametrize('weight', [1.0, 2.5])
def test_mask_costs(name: str, weight: float, inputs: dict, kernels: str) -> None:
    found = cost(dict(type=name, weight=weight), **inputs)
    logits, masks = to_numpy(inputs['mask_logits']), to_numpy(inputs['masks'])
    expected = [[weight * MASK_COSTS[name](x, t) for t in masks] for x in logits]
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('weight', [1.0, 2.5])
def test_class_cost(weight: float, inputs: dict) -> None:
    found = cost(dict(type='ClassCost', weight=weight), **inputs)
    expected = [[weight * class_cost(logits, label) for label in inputs['labels'].tolist()]
                for logits in to_numpy(inputs['class_logits'])]
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5)


def test_weights_are_one_unless_stated(inputs: dict) -> None:
    for name in (*MASK_COSTS, 'ClassCost'):
        torch.testing.assert_close(cost(dict(type=name), **inputs),
                                   cost(dict(type=name, weight=1.0), **inputs))
    for name in MASK_LOSSES:
        values = inputs['mask_logits'][None], torch.rand(1, QUERIES, POINTS)
        torch.testing.assert_close(build(dict(type=name))(*values),
                                   build(dict(type=name, weight=1.0))(*values))
    assert build(dict(type='PixelCriterion')).weight == 1


def focal_loss(x: np.ndarray, t: np.ndarray) -> float:
    """Of RetinaNet: alpha_t (1 - p_t)^2 times the cross-entropy, on average."""
    total = 0.0
    for logit, truth in zip(x, t, strict=True):
        p = float(sigmoid(logit))
        right = p * truth + (1 - p) * (1 - truth)
        alpha = 0.25 * truth + 0.75 * (1 - truth)
        entropy = truth * float(softplus(-logit)) + (1 - truth) * float(softplus(logit))
        total += alpha * (1 - right) ** 2 * entropy
    return total / len(x)


MASK_LOSSES = {'MaskBCELoss': ('mask', mean_bce), 'MaskFocalLoss': ('mask', focal_loss),
               'MaskDiceLoss': ('dice', dice)}


@pytest.mark.parametrize('name', MASK_LOSSES)
@pytest.mark.parametrize('weight', [1.0, 2.5])
def test_mask_losses(name: str, weight: float, kernels: str) -> None:
    called, formula = MASK_LOSSES[name]
    loss = build(dict(type=name, weight=weight))
    assert loss.name == called
    logits, masks = 3 * torch.randn(2, 3, POINTS), torch.rand(2, 3, POINTS)
    masks[0] = masks[0].round()
    assert_sums_over_pairs(loss, formula, logits=logits, masks=masks, weight=weight)


def assert_sums_over_pairs(loss: Callable, formula: Callable, *, logits: torch.Tensor,
                           masks: torch.Tensor, weight: float) -> None:
    expected = [weight * sum(formula(x, t) for x, t in zip(*layer, strict=True))
                for layer in zip(to_numpy(logits), to_numpy(masks), strict=True)]
    np.testing.assert_allclose(to_numpy(loss(logits, masks)), expected, rtol=1e-4)


@pytest.mark.parametrize('name', MASK_LOSSES)
def test_gradients_of_mask_losses(name: str, kernels: str) -> None:
    """Slopes of the formula."""
    loss, (_, formula) = build(dict(type=name)), MASK_LOSSES[name]
    logits, masks = torch.randn(1, 1, 7, requires_grad=True), torch.rand(1, 1, 7)
    loss(logits, masks).sum().backward()
    x, t, step = to_numpy(logits)[0, 0], to_numpy(masks)[0, 0], 1e-5
    slopes = [(formula(x + step * unit, t) - formula(x - step * unit, t)) / (2 * step)
              for unit in np.eye(7)]
    np.testing.assert_allclose(to_numpy(logits.grad)[0, 0], slopes, rtol=1e-3, atol=1e-6)
