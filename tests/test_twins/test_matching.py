"""Matcher, sampler and criterion against every permutation and every point."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from door import (
    DensePrediction,
    MaskPrediction,
    Matches,
    SegmentTargets,
    TargetBatch,
    build,
    drawn_points,
    targets_of,
    to_numpy,
    with_pilots,
)
from plain import (
    class_cost,
    dice,
    mean_bce,
    mean_focal,
    resize_bilinear,
    resize_nearest,
    sampled,
    softmax,
)
from torch import Tensor

from unimask.models.losses import matcher as matcher_module
from unimask.registry import TASK_UTILS

LAYERS, QUERIES, CLASSES, WIDTH, SMALL, LARGE = 2, 4, 3, 5, (6, 7), (20, 26)
WEIGHTS = dict(cls=2.0, mask=5.0, dice=3.0)
POINT_COSTS = [dict(type='ClassCost', weight=2.0), dict(type='MaskBCECost', weight=5.0),
               dict(type='DiceCost', weight=3.0)]
DENSE_COSTS = [dict(type='ClassCost', weight=2.0), dict(type='MaskFocalCost', weight=5.0),
               dict(type='DiceCost', weight=3.0)]
COUNTS = [(3, 2), (0, 3), (6, 1), (0, 0)]  # segments of both images; more than queries; none


def prediction(batch: int = 2) -> MaskPrediction:
    return MaskPrediction(
        2 * torch.randn(LAYERS, batch, QUERIES, CLASSES + 1, requires_grad=True),
        torch.randn(LAYERS, batch, QUERIES, WIDTH, requires_grad=True),
        torch.randn(batch, WIDTH, *SMALL, requires_grad=True))


def segments(count: int, *, overlap: bool) -> tuple[SegmentTargets, np.ndarray, list[int]]:
    """Targets, their masks (N, H, W) and their labels."""
    labels = [(2 * i + 1) % CLASSES for i in range(count)]
    if overlap:
        masks = torch.rand(count, 5, 7).round().repeat_interleave(4, 1).repeat_interleave(4, 2)
        masks = masks[:, :LARGE[0], :LARGE[1]].bool()
        return SegmentTargets.from_masks(masks, labels), masks.numpy(), labels
    ids = torch.randint(0, count + 1, (5, 7)).repeat_interleave(4, 0).repeat_interleave(4, 1)
    ids = ids[:LARGE[0], :LARGE[1]]
    masks = torch.stack([ids == i + 1 for i in range(count)]) if count else torch.zeros(0, *LARGE)
    own = SegmentTargets.from_id_map(ids, [i + 1 for i in range(count)], labels)
    return own, masks.numpy(), labels


class Scene:
    """A prediction and the truth of two images, in unimask's and in plain form."""

    def __init__(self, counts: tuple[int, int], *, overlap: bool) -> None:
        made = [segments(count, overlap=overlap) for count in counts]
        self.prediction = prediction()
        self.targets: TargetBatch = targets_of(*(own for own, _, _ in made))
        self.masks = [masks.astype(float) for _, masks, _ in made]
        self.labels = [labels for _, _, labels in made]
        self.counts = counts
        self.logits = to_numpy(self.prediction.class_logits)
        embeddings, features = (to_numpy(value) for value in (
            self.prediction.mask_embeddings, self.prediction.mask_features))
        self.maps = np.zeros((LAYERS, 2, QUERIES, *SMALL))
        for layer, image, query in itertools.product(range(LAYERS), range(2), range(QUERIES)):
            for channel in range(WIDTH):
                self.maps[layer, image, query] += (
                    embeddings[layer, image, query, channel] * features[image, channel])


@pytest.fixture(params=[None, 3], ids=['all rows', 'three rows'])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries are compared all at once, or a few at a time as those of large models."""
    if request.param:
        monkeypatch.setattr(matcher_module, '_rows_at_once', lambda _: request.param)


@pytest.fixture(params=itertools.product(COUNTS, (True, False)), ids=str)
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param[0], overlap=request.param[1])


def best_pairs(costs: np.ndarray) -> list[tuple[int, int]]:
    """The cheapest one-to-one assignment (query, segment) of all there are, queries ascending."""
    queries, columns = costs.shape
    if queries >= columns:
        choices = (list(zip(rows, range(columns), strict=True))
                   for rows in itertools.permutations(range(queries), columns))
    else:
        choices = (list(zip(range(queries), chosen, strict=True))
                   for chosen in itertools.permutations(range(columns), queries))
    return sorted(min(choices, key=lambda pairs: sum(costs[pair] for pair in pairs)))


def pairs_of(matches: Matches, layer: int) -> list[list[tuple[int, int]]]:
    """Per image (query, segment within the batch), in the order in which they come."""
    images = matches.images.tolist()
    assert images == sorted(images)
    assert list(matches.counts) == [images.count(image) for image in range(len(matches.counts))]
    pairs = list(zip(images, matches.queries[layer].tolist(), matches.segments[layer].tolist(),
                     strict=True))
    return [[(q, s) for i, q, s in pairs if i == image] for image in range(len(matches.counts))]


def check_matches(scene: Scene, matches: Matches, costs: object) -> None:
    for layer in range(LAYERS):
        first = 0
        for image, found in enumerate(pairs_of(matches, layer)):
            count = scene.counts[image]
            table = np.array([[costs(layer, image, query, segment) for segment in range(count)]
                              for query in range(QUERIES)]).reshape(QUERIES, count)
            expected = [(query, first + segment) for query, segment in best_pairs(table)]
            assert found == expected, (layer, image)
            first += count


def test_matcher_at_points(scene: Scene, kernels: str, pieces: None) -> None:
    """One set of points for each image, for all its predictions, queries and segments."""
    matcher = TASK_UTILS.build(dict(type='HungarianMatcher', num_points=9, costs=POINT_COSTS))
    with drawn_points() as drawn:
        matches = matcher(scene.prediction, scene.targets)
    points = to_numpy(torch.cat(drawn))
    assert points.shape == (2, 9, 2)

    def costs(layer: int, image: int, query: int, segment: int) -> float:
        x = sampled(scene.maps[layer, image, query], points[image])
        t = sampled(scene.masks[image][segment], points[image])
        return (2 * class_cost(scene.logits[layer, image, query], scene.labels[image][segment])
                + 5 * mean_bce(x, t) + 3 * dice(x, t))

    check_matches(scene, matches, costs)


def test_matcher_at_all_pixels(scene: Scene, kernels: str) -> None:
    """Without points: masks resized to nearest, at the size of the mask features."""
    matcher = TASK_UTILS.build(dict(type='HungarianMatcher', num_points=None, costs=DENSE_COSTS))
    matches = matcher(scene.prediction, scene.targets)

    def costs(layer: int, image: int, query: int, segment: int) -> float:
        x = scene.maps[layer, image, query].ravel()
        t = resize_nearest(scene.masks[image][segment], SMALL).ravel()
        return (2 * class_cost(scene.logits[layer, image, query], scene.labels[image][segment])
                + 5 * mean_focal(x, t) + 3 * dice(x, t))

    check_matches(scene, matches, costs)


def given_matches(scene: Scene) -> Matches:
    """Queries in reverse order for the first layer, others for the second."""
    queries, chosen, images, first = [], [], [], 0
    for image, count in enumerate(scene.counts):
        pairs = min(count, QUERIES)
        images += [image] * pairs
        queries.append([[QUERIES - pairs + i for i in range(pairs)], list(range(pairs))])
        chosen.append([[first + (i + 1) % count for i in range(pairs)],
                       [first + count - 1 - i for i in range(pairs)]])
        first += count
    return Matches(
        torch.tensor([sum((part[layer] for part in queries), []) for layer in range(LAYERS)],
                     dtype=torch.int64),
        torch.tensor([sum((part[layer] for part in chosen), []) for layer in range(LAYERS)],
                     dtype=torch.int64),
        torch.tensor(images, dtype=torch.int64),
        tuple(min(count, QUERIES) for count in scene.counts))


def matched(scene: Scene, matches: Matches, layer: int) -> Iterator[tuple]:
    """Mask logits, mask, image, query and label of every pair."""
    masks = [mask for image in scene.masks for mask in image]
    labels = sum(scene.labels, [])
    for image, pairs in enumerate(pairs_of(matches, layer)):
        for query, segment in pairs:
            yield (scene.maps[layer, image, query], masks[segment], image, query, labels[segment])


def class_loss(scene: Scene, matches: Matches, layer: int) -> float:
    """Cross-entropy with weight 0.1 for queries without a segment, over the sum of weights."""
    wanted = {(image, query): label
              for _, _, image, query, label in matched(scene, matches, layer)}
    total = weights = 0.0
    for image, query in itertools.product(range(2), range(QUERIES)):
        label = wanted.get((image, query), CLASSES)
        weight = 0.1 if label == CLASSES else 1.0
        total -= weight * np.log(softmax(scene.logits[layer, image, query])[label])
        weights += weight
    return total / weights


def expected_losses(scene: Scene, matches: Matches, values: object, formulas: dict) -> dict:
    """Losses of all predictions; ``values`` gives logits and masks at the points of a pair."""
    expected = {}
    for layer in range(LAYERS):
        prefix = '' if layer == LAYERS - 1 else f'd{layer}.'
        expected[f'{prefix}loss_cls'] = WEIGHTS['cls'] * class_loss(scene, matches, layer)
        for name, formula in formulas.items():
            total = sum(
                formula(*values(layer, number, logits, mask))
                for number, (logits, mask, *_) in enumerate(matched(scene, matches, layer)))
            expected[f'{prefix}loss_{name}'] = (
                WEIGHTS[name] * total / max(sum(scene.counts), 1))
    return expected


def check_losses(found: dict[str, Tensor], expected: dict[str, float]) -> None:
    assert {name: value.item() for name, value in found.items()} == {
        name: pytest.approx(value, rel=1e-4, abs=1e-6) for name, value in expected.items()}


def criterion_config(**parts: object) -> dict:
    return dict(type='SetCriterion', class_weight=WEIGHTS['cls'], **parts)


def test_criterion_at_points(scene: Scene, kernels: str) -> None:
    matches = given_matches(scene)
    points = 1.04 * torch.rand(LAYERS, len(matches.images), 11, 2) - 0.02  # outside is zero
    criterion = build(criterion_config(
        matcher=lambda *_: matches, sampler=lambda logits: points.to(logits), mask_losses=[
            dict(type='MaskBCELoss', weight=WEIGHTS['mask']),
            dict(type='MaskDiceLoss', weight=WEIGHTS['dice'])]))

    def values(layer: int, number: int, logits: np.ndarray, mask: np.ndarray) -> tuple:
        own = to_numpy(points[layer, number])
        return sampled(logits, own), sampled(mask, own)

    check_losses(criterion(scene.prediction, scene.targets),
                 expected_losses(scene, matches, values, dict(mask=mean_bce, dice=dice)))


def test_criterion_at_all_pixels(scene: Scene, kernels: str) -> None:
    """Logits upsampled to the input's size."""
    matches = given_matches(scene)
    criterion = build(criterion_config(
        matcher=lambda *_: matches, sampler=None, mask_losses=[
            dict(type='MaskFocalLoss', weight=WEIGHTS['mask']),
            dict(type='MaskDiceLoss', weight=WEIGHTS['dice'])]))

    def values(layer: int, number: int, logits: np.ndarray, mask: np.ndarray) -> tuple:
        return resize_bilinear(logits, LARGE).ravel(), mask.ravel()

    check_losses(criterion(scene.prediction, scene.targets),
                 expected_losses(scene, matches, values, dict(mask=mean_focal, dice=dice)))


@pytest.mark.parametrize('weight', [0.1, 0.7])
def test_weight_of_no_object(weight: float) -> None:
    scene = Scene((1, 1), overlap=True)
    matches = given_matches(scene)
    criterion = build(criterion_config(
        matcher=lambda *_: matches, sampler=None, no_object_weight=weight,
        mask_losses=[dict(type='MaskDiceLoss')]))
    logits = scene.logits[-1].reshape(-1, CLASSES + 1)
    wanted = [CLASSES] * len(logits)
    for _, _, image, query, label in matched(scene, matches, LAYERS - 1):
        wanted[image * QUERIES + query] = label
    weights = [weight if label == CLASSES else 1.0 for label in wanted]
    entropies = [-np.log(softmax(x)[label]) for x, label in zip(logits, wanted, strict=True)]
    found = criterion(scene.prediction, scene.targets)['loss_cls'].item()
    assert found == pytest.approx(
        WEIGHTS['cls'] * np.dot(weights, entropies) / sum(weights), rel=1e-5)


@pytest.mark.parametrize('counts', [(3, 2), (1, 0)])
def test_masks_are_counted_over_all_processes(counts: tuple[int, int]) -> None:
    """Divided by the processes first, then at least one; here the other process is an echo."""
    from torch.testing._internal.distributed.fake_pg import FakeStore
    scene = Scene(counts, overlap=True)
    matches = given_matches(scene)
    criterion = build(criterion_config(
        matcher=lambda *_: matches, sampler=None, mask_losses=[dict(type='MaskDiceLoss')]))
    alone = criterion(scene.prediction, scene.targets)
    torch.distributed.init_process_group('fake', store=FakeStore(), rank=0, world_size=2)
    try:
        together = criterion(scene.prediction, scene.targets)
    finally:
        torch.distributed.destroy_process_group()
    # The fake group adds nothing, so the mean is half of the own count.
    factor = max(sum(counts), 1) / max(sum(counts) / 2, 1)
    assert together['loss_dice'].item() == pytest.approx(factor * alone['loss_dice'].item())
    assert together['loss_cls'].item() == pytest.approx(alone['loss_cls'].item())


@pytest.mark.parametrize('with_counted', [True, False])
def test_queries_whose_segments_are_known(with_counted: bool) -> None:
    """Two groups of queries for the same segments: pairs of both, divided by the groups; slots
    that are not counted have no part in the class loss."""
    scene, groups = Scene((2, 1), overlap=True), 2
    counted = torch.tensor([[True] * 4, [True, False] * 2]) if with_counted else None
    known = Matches(
        torch.tensor([[0, 1, 2, 3, 0, 2]] * LAYERS), torch.tensor([[0, 1, 0, 1, 2, 2]] * LAYERS),
        torch.tensor([0, 0, 0, 0, 1, 1]), (4, 2), copies=groups, counted=counted)
    piloted = with_pilots(scene.prediction, known)
    matches = given_matches(scene)
    criterion = build(criterion_config(
        matcher=lambda *_: matches, sampler=None, mask_losses=[
            dict(type='MaskDiceLoss', weight=WEIGHTS['dice'])]))
    found = criterion(piloted, scene.targets)
    alone = criterion(scene.prediction, scene.targets)
    assert {name for name in found if 'mp.' not in name} == set(alone)
    for name, value in alone.items():
        assert found[name].item() == pytest.approx(value.item())
    for layer, prefix in enumerate(('d0.mp.', 'mp.')):
        pairs = list(matched(scene, known, layer))
        total = sum(dice(resize_bilinear(logits, LARGE).ravel(), mask.ravel())
                    for logits, mask, *_ in pairs)
        assert found[f'{prefix}loss_dice'].item() == pytest.approx(
            WEIGHTS['dice'] * total / (3 * groups), rel=1e-4)
        assert found[f'{prefix}loss_cls'].item() == pytest.approx(
            WEIGHTS['cls'] * counted_class_loss(scene, pairs, layer, counted), rel=1e-4)


def counted_class_loss(scene: Scene, pairs: list, layer: int, counted: Tensor | None) -> float:
    wanted = {(image, query): label for _, _, image, query, label in pairs}
    total = weights = 0.0
    for image, query in itertools.product(range(2), range(QUERIES)):
        label = wanted.get((image, query), CLASSES)
        weight = 0.1 if label == CLASSES else 1.0
        weight *= 1.0 if counted is None else float(counted[image, query])
        total -= weight * np.log(softmax(scene.logits[layer, image, query])[label])
        weights += weight
    return total / weights


@pytest.mark.parametrize('average', ['valid', 'all'])
@pytest.mark.parametrize('hardest', [None, 60])
def test_pixel_criterion(average: str, hardest: int | None) -> None:
    scene = Scene((3, 2), overlap=False)
    logits = 2 * torch.randn(LAYERS, 2, CLASSES, *SMALL)
    criterion = build(dict(type='PixelCriterion', weight=1.5, average=average, hardest=hardest))
    expected = {}
    for layer, prefix in enumerate(('d0.', '')):
        losses, valid = [], 0
        for image in range(2):
            large = [resize_bilinear(own, LARGE) for own in to_numpy(logits[layer, image])]
            shares = softmax(np.stack(large, -1))
            for mask, label in zip(scene.masks[image], scene.labels[image], strict=True):
                losses += (-np.log(shares[..., label][mask > 0])).tolist()
                valid += int(mask.sum())
        kept = sorted(losses, reverse=True)[:2 * hardest if hardest else None]
        count = valid if average == 'valid' else 2 * LARGE[0] * LARGE[1]
        expected[f'{prefix}loss_sem'] = 1.5 * sum(kept) / count
    check_losses(criterion(DensePrediction(logits), scene.targets), expected)


def test_number_of_hardest_pixels() -> None:
    assert build(dict(type='PixelCriterion', hardest=1)).hardest == 1
    with pytest.raises(ValueError, match='hardest'):
        build(dict(type='PixelCriterion', hardest=0))


def test_pixel_criterion_without_a_pixel() -> None:
    scene = Scene((0, 0), overlap=False)
    logits = torch.randn(1, 2, CLASSES, *SMALL, requires_grad=True)
    loss = build(dict(type='PixelCriterion'))(DensePrediction(logits), scene.targets)['loss_sem']
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_sampler_keeps_the_most_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    from unimask.ops.cpu import native
    monkeypatch.setattr(native, 'load', lambda: None)  # compiled, it draws for itself
    logits = 4 * torch.randn(2, 3, 6, 8)
    sampler = TASK_UTILS.build(dict(
        type='UncertainPointSampler', num_points=20, oversample_ratio=2.5, importance_ratio=0.6))
    with drawn_points() as drawn:
        found = sampler(logits)
    assert found.shape == (2, 3, 20, 2)
    points = torch.cat(drawn, 1)
    assert points.shape == (6, 50 + 8, 2)
    for map_, own, kept in zip(to_numpy(logits).reshape(6, 6, 8), points, found.flatten(0, 1),
                               strict=True):
        values = np.abs(sampled(map_, to_numpy(own[:50])))
        expected = [own[i].tolist() for i in np.argsort(values)[:12]] + own[50:].tolist()
        assert sorted(kept.tolist()) == sorted(expected)
    assert not found.requires_grad


@pytest.mark.parametrize('options, valid', [
    (dict(oversample_ratio=1.0), True), (dict(oversample_ratio=0.9), False),
    (dict(importance_ratio=0.0), True), (dict(importance_ratio=1.0), True),
    (dict(importance_ratio=1.1), False), (dict(importance_ratio=-0.1), False)])
def test_ratios_of_the_sampler(options: dict, valid: bool) -> None:
    config = dict(type='UncertainPointSampler', num_points=10, **options)
    if valid:
        assert TASK_UTILS.build(config)(torch.randn(1, 2, 6, 8)).shape == (1, 2, 10, 2)
    else:
        with pytest.raises(ValueError, match='ratio'):
            TASK_UTILS.build(config)


def test_compiled_sampler_prefers_the_uncertain(kernels: str) -> None:
    """A map that is near zero in its left tenth only."""
    logits = torch.full((1, 2, 10, 40), 9.0)
    logits[..., :5] = 0.1
    points = TASK_UTILS.build(dict(type='UncertainPointSampler', num_points=1000))(logits)
    assert points.shape == (1, 2, 1000, 2) and points.min() >= 0 and points.max() < 1
    left = (points[..., 0] < 0.1).float().mean().item()
    # 3000 candidates: 300 of them lie there, all are kept; of 250 others a tenth does.
    assert left == pytest.approx(0.33, abs=0.05)
    assert (points[..., 0] > 0.5).any()
    assert points[..., 1].mean().item() == pytest.approx(0.5, abs=0.05)
