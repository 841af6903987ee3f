"""Matcher and criterion alone: the published numbers, and every kind of bad input."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from golden_tools import fix_random, load_fill
from torch import Tensor

from unimask.models.losses import HungarianMatcher, SetCriterion
from unimask.models.losses import matcher as matcher_module
from unimask.registry import MODELS
from unimask.structures import MaskPrediction, Matches, Piloted, SegmentTargets, TargetBatch

LAYERS, QUERIES, CLASSES, SIZE = 3, 30, 20, (24, 32)
POINTS = dict(
    type='SetCriterion', class_weight=2.0,
    matcher=dict(type='HungarianMatcher', num_points=12544, costs=[
        dict(type='ClassCost', weight=2.0), dict(type='MaskBCECost', weight=5.0),
        dict(type='DiceCost', weight=5.0)]),
    mask_losses=[dict(type='MaskBCELoss', weight=5.0), dict(type='MaskDiceLoss', weight=5.0)],
    sampler=dict(type='UncertainPointSampler'))
DENSE = dict(
    type='SetCriterion', class_weight=1.0,
    matcher=dict(type='HungarianMatcher', num_points=None, costs=[
        dict(type='ClassCost'), dict(type='MaskFocalCost', weight=20.0), dict(type='DiceCost')]),
    mask_losses=[dict(type='MaskFocalLoss', weight=20.0), dict(type='MaskDiceLoss')],
    sampler=None)
SETTINGS = {'mask2former': (POINTS, 'shape'), 'maskformer': (DENSE, 'exact'),
            'mpformer': (POINTS, 'shape')}
SLOTS, GROUPS, COUNTS = 6, 2, (6, 2)  # of mask piloting


def lazy(class_logits: Tensor, masks: Tensor) -> MaskPrediction:
    """Any masks (L, B, Q, h, w) as a product: one feature channel for each of L * Q."""
    layers, batch, queries = masks.shape[:3]
    features = masks.transpose(0, 1).flatten(1, 2)
    embeddings = torch.eye(layers * queries).view(layers, 1, queries, -1)
    return MaskPrediction(class_logits, embeddings.expand(-1, batch, -1, -1), features)


@pytest.mark.parametrize('method', SETTINGS)
def test_golden_criterion(method: str, goldens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, mode = SETTINGS[method]
    golden = json.loads((goldens / f'criterion_only_{method}.json').read_text())[mode]
    fill = load_fill(goldens)
    fix_random(monkeypatch)
    logits, masks = predictions(fill, QUERIES)
    made = lazy(logits, masks)
    found = {'pred_logits': logits, 'pred_masks': masks}
    if method == 'mpformer':
        known = predictions(fill, GROUPS * SLOTS, first=7000)
        found |= dict(zip(('mp_pred_logits', 'mp_pred_masks'), known, strict=True))
        made = replace(made, piloted=Piloted(lazy(*known), published_pairs()))
    targets = []
    for image, count in enumerate(COUNTS):
        labels, shapes = fill.make_targets('overlap', 50 + image, 96, 128, CLASSES, count)
        targets.append(SegmentTargets.from_masks(torch.from_numpy(shapes), labels.tolist()))
    losses = MODELS.build(config)(made, TargetBatch.stack(targets))
    assert len(losses) == len(golden['losses'])
    total = sum(losses.values())
    assert total.item() == pytest.approx(golden['total_weighted'], rel=1e-5)
    total.backward()
    for name, expected in golden['grad_norms'].items():
        kind, layer = name.split('.')
        norm = found[kind].grad[int(layer)].norm().item()
        assert norm == pytest.approx(expected, rel=1e-3), name


def predictions(fill: ModuleType, queries: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """Class logits and masks of the goldens, (L, B, Q, ...)."""
    made = [[fill.make_predictions(100 * layer + image + first, queries, CLASSES, *SIZE)
             for image in range(2)] for layer in range(LAYERS)]
    return tuple(torch.stack([torch.stack([torch.from_numpy(pair[part]) for pair in layer])
                              for layer in made]).requires_grad_() for part in range(2))


def published_pairs() -> Matches:
    """Slot j of every group is segment j of the image; empty slots count, as published."""
    pairs = [(image, group * SLOTS + slot, sum(COUNTS[:image]) + slot)
             for image, count in enumerate(COUNTS) for group in range(GROUPS)
             for slot in range(count)]
    images, queries, segments = torch.tensor(pairs).T
    return Matches(queries.expand(LAYERS, -1), segments.expand(LAYERS, -1), images,
                   tuple(GROUPS * count for count in COUNTS), copies=GROUPS)


def prediction(batch: int = 2, queries: int = 5, fill: float | None = None) -> MaskPrediction:
    values = [torch.randn(2, batch, queries, 4), torch.randn(2, batch, queries, 6),
              torch.randn(batch, 6, 8, 8)]
    if fill is not None:
        values = [torch.full_like(value, fill) for value in values]
    return MaskPrediction(*(value.requires_grad_() for value in values))


def segments(count: int) -> SegmentTargets:
    return SegmentTargets.from_masks(torch.rand(count, 32, 32) > 0.5, [i % 3 for i in range(count)])


@pytest.mark.parametrize('config', [POINTS, DENSE], ids=['points', 'dense'])
@pytest.mark.parametrize('counts', [(2, 3), (0, 2), (0, 0), (9, 1)])
def test_losses_are_finite_and_reach_everything(config: dict, counts: tuple[int, int]) -> None:
    """Images without objects, none at all, more segments than queries."""
    criterion, made = MODELS.build(config), prediction()
    losses = criterion(made, TargetBatch.stack([segments(count) for count in counts]))
    assert set(losses) == {f'{p}loss_{k}' for p in ('', 'd0.') for k in ('cls', 'mask', 'dice')}
    total = sum(losses.values())
    assert math.isfinite(total.item())
    total.backward()
    assert all(t.grad is not None for t in vars(made).values() if t is not None)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf'), 1e38])
def test_matching_is_valid_for_any_prediction(value: float) -> None:
    matcher: HungarianMatcher = MODELS.build(POINTS).matcher
    matches = matcher(prediction(fill=value), TargetBatch.stack([segments(3), segments(7)]))
    assert matches.counts == (3, 5)
    for layer in range(2):
        assert len(set(matches.queries[layer, :3].tolist())) == 3
        assert sorted(matches.segments[layer, :3].tolist()) == [0, 1, 2]
        assert set(matches.queries[layer, 3:].tolist()) == set(range(5))


def test_stacked_layers_equal_single_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """All predictions at once give what each alone gives at the same points."""
    fix_random(monkeypatch)
    criterion: SetCriterion = MODELS.build(POINTS)
    made, targets = prediction(), TargetBatch.stack([segments(2), segments(3)])
    together = criterion(made, targets)
    for layer, prefix in enumerate(('d0.', '')):
        alone = criterion(
            MaskPrediction(made.class_logits[layer:layer + 1],
                           made.mask_embeddings[layer:layer + 1], made.mask_features), targets)
        for name, value in alone.items():
            torch.testing.assert_close(together[prefix + name], value)


def test_float32_under_autocast() -> None:
    criterion, made = MODELS.build(POINTS), prediction()
    targets = TargetBatch.stack([segments(2), segments(3)])
    torch.manual_seed(1)
    expected = criterion(made, targets)
    torch.manual_seed(1)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = criterion(made, targets)
    for name, value in expected.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], value)


def test_sampler_prefers_uncertain_points() -> None:
    logits = torch.linspace(-4, 4, 32).expand(1, 2, 32, 32)
    sampler = MODELS.build(POINTS).sampler
    points = sampler(logits)
    assert points.shape == (1, 2, 12544, 2)
    near = ((points[..., 0] - 0.5).abs() < 0.2).float().mean()
    assert near > 0.75  # 40 % of uniform points
    with pytest.raises(ValueError, match='oversample_ratio'):
        type(sampler)(oversample_ratio=0.5)


def test_more_segments_than_queries_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    matcher_module._warn_if_crowded.cache_clear()
    monkeypatch.setattr(matcher_module, 'print_log', lambda text, **_: said.append(text))
    targets = TargetBatch.stack([SegmentTargets.from_masks(torch.rand(7, 16, 16) > 0.5, [0] * 7)])
    for queries in (5, 5, 7):
        made = MaskPrediction(torch.randn(1, 1, queries, 3), torch.randn(1, 1, queries, 4),
                              torch.randn(1, 4, 4, 4))
        HungarianMatcher(costs=[dict(type='ClassCost')], num_points=9)(made, targets)
    assert len(said) == 1 and '7 segments, but the model only 5 queries' in said[0]
