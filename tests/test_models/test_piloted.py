"""Queries whose segments are known: what the criterion makes of them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from unimask.registry import MODELS
from unimask.structures import MaskPrediction, Matches, Piloted, SegmentTargets, TargetBatch

CRITERION = dict(
    type='SetCriterion', class_weight=1.0, no_object_weight=0.25,
    matcher=dict(type='HungarianMatcher', num_points=None, costs=[dict(type='ClassCost')]),
    mask_losses=[dict(type='MaskBCELoss'), dict(type='MaskDiceLoss')], sampler=None)


def predict(queries: int, layers: int = 2, images: int = 2) -> MaskPrediction:
    return MaskPrediction(
        torch.randn(layers, images, queries, 4, requires_grad=True),
        torch.randn(layers, images, queries, 5, requires_grad=True),
        torch.randn(images, 5, 4, 6, requires_grad=True))


def batch() -> TargetBatch:
    """Two segments in the first image, one in the second."""
    return TargetBatch.stack([
        SegmentTargets.from_masks(torch.rand(2, 8, 12) > 0.5, [2, 0]),
        SegmentTargets.from_masks(torch.rand(1, 8, 12) > 0.5, [1])])


def pairs(groups: int) -> Matches:
    """Slots 2 * group + segment: a slot of each group is padding in the second image."""
    first = [(2 * group + place, place) for group in range(groups) for place in (0, 1)]
    second = [(2 * group, 2) for group in range(groups)]
    queries, segments = torch.tensor(first + second).T
    return Matches(
        queries.expand(2, -1), segments.expand(2, -1),
        torch.tensor([0] * len(first) + [1] * len(second)), (len(first), len(second)),
        copies=groups,
        counted=torch.tensor([[True, True], [True, False]]).repeat(1, groups))


def class_loss(logits: Tensor, wanted: list[int | None]) -> float:
    """Weighted mean over queries (Q, 4); None is not counted, class 3 is no-object."""
    total = weights = 0.0
    for scores, label in zip(logits.tolist(), wanted, strict=True):
        if label is not None:
            weight = 0.25 if label == 3 else 1.0
            partition = sum(math.exp(score) for score in scores)
            total -= weight * math.log(math.exp(scores[label]) / partition)
            weights += weight
    return total / weights


@pytest.mark.parametrize('groups', [1, 3])
def test_known_pairs(groups: int) -> None:
    targets, criterion = batch(), MODELS.build(CRITERION)
    ours, known = predict(7), predict(2 * groups)
    plain = criterion(ours, targets)
    losses = criterion(replace(ours, piloted=Piloted(known, pairs(groups))), targets)
    assert {name: losses[name] for name in plain} == plain
    assert set(losses) - set(plain) == {
        f'{layer}mp.loss_{kind}' for layer in ('', 'd0.') for kind in ('cls', 'mask', 'dice')}
    for layer, name in ((0, 'd0.mp.loss_cls'), (1, 'mp.loss_cls')):
        logits = known.class_logits[layer].flatten(0, 1)
        wanted = [2, 0] * groups + [1, None] * groups
        assert losses[name].item() == pytest.approx(class_loss(logits, wanted), rel=1e-5)
    sum(losses.values()).backward()
    assert known.class_logits.grad is not None and known.mask_embeddings.grad.any()


def test_groups_weigh_as_much_as_one() -> None:
    targets, criterion, one = batch(), MODELS.build(CRITERION), predict(2)
    three = MaskPrediction(one.class_logits.repeat(1, 1, 3, 1),
                           one.mask_embeddings.repeat(1, 1, 3, 1), one.mask_features)
    found = [criterion(replace(predict(4), piloted=Piloted(part, pairs(groups))), targets)
             for part, groups in ((one, 1), (three, 3))]
    for name in ('mp.loss_mask', 'mp.loss_dice', 'd0.mp.loss_dice', 'mp.loss_cls'):
        torch.testing.assert_close(found[0][name], found[1][name])


def test_their_losses_have_a_weight_of_their_own() -> None:
    targets, prediction = batch(), replace(predict(4), piloted=Piloted(predict(2), pairs(1)))
    whole = MODELS.build(CRITERION)(prediction, targets)
    quarter = MODELS.build(dict(CRITERION, piloted_weight=0.25))(prediction, targets)
    for name, value in whole.items():
        torch.testing.assert_close(quarter[name], value * (0.25 if 'mp.' in name else 1.0))


def test_no_ground_truth_gives_zero_under_the_same_names() -> None:
    empty = TargetBatch.stack(
        [SegmentTargets.from_masks(torch.zeros(0, 8, 12), []) for _ in range(2)])
    nothing = Matches(torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.int64),
                      torch.zeros(0, dtype=torch.int64), (0, 0), counted=torch.zeros(2, 0) > 0)
    known = predict(0)
    losses = MODELS.build(CRITERION)(replace(predict(3), piloted=Piloted(known, nothing)), empty)
    assert losses['mp.loss_cls'] == losses['d0.mp.loss_mask'] == losses['mp.loss_dice'] == 0
    sum(losses.values()).backward()
    assert known.class_logits.grad is not None


def test_segments_are_counted_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from unimask.models.losses import criterion as module
    calls = []
    monkeypatch.setattr(module, 'all_reduce', lambda value, op: calls.append(float(value)))
    MODELS.build(CRITERION)(replace(predict(7), piloted=Piloted(predict(2), pairs(1))), batch())
    assert calls == [3.0]
