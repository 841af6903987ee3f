"""Ops equal their slow twins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unimask import ops
from unimask.ops.cpu import linear as onednn
from unimask.ops.cpu import native
from unimask.ops.deformable import grid_sample_attention
from unimask.ops.pairs import pair_statistics, row_statistics
from unimask.ops.resize import ResizePlan, interpolation_matrix, resize_maps, row_tiles


@pytest.mark.parametrize('cost', [
    np.full((4, 3), np.nan), np.full((3, 4), np.inf), np.full((3, 3), -np.inf),
    np.array([[1e38, -1e38], [np.nan, 1.0]], np.float32), np.zeros((0, 3)), np.zeros((3, 0)),
    np.random.default_rng(0).normal(size=(5, 9))])
def test_assign_is_valid_for_any_input(cost: np.ndarray) -> None:
    rows, columns = ops.assign(cost)
    assert len(rows) == len(columns) == min(cost.shape)
    assert len(set(rows)) == len(rows) and len(set(columns)) == len(columns)
    assert (np.diff(rows) > 0).all()


def test_assign_finds_the_cheapest() -> None:
    rows, columns = ops.assign(np.array([[4.0, 1, 3], [2, 0, 5], [3, 2, 2]]))
    assert list(columns) == [1, 0, 2] and list(rows) == [0, 1, 2]


@pytest.mark.parametrize('old, new', [(25, 101), (100, 33), (7, 7), (1, 9), (9, 1), (334, 1333)])
def test_interpolation_matrix_equals_interpolate(old: int, new: int) -> None:
    line = torch.randn(1, 2, old)
    expected = F.interpolate(line[:, :, None], (1, new), mode='bilinear')[0, :, 0]
    found = line[0] @ interpolation_matrix(old, new).T
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_plan_equals_the_chain_of_resizes() -> None:
    plan = ResizePlan(source=(25, 34), padded=(100, 136), image=(97, 120), output=(150, 64))
    maps = torch.randn(3, 25, 34)
    expected = F.interpolate(maps[None], plan.padded, mode='bilinear')[..., :97, :120]
    expected = F.interpolate(expected, plan.output, mode='bilinear')[0]
    rows, columns = plan.whole(0), plan.whole(1)
    tiles = row_tiles(150, 64, 3, budget=2000)
    assert len(tiles) > 10
    found = torch.cat([resize_maps(maps, rows[tile], columns) for tile in tiles], 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('enabled', [True, False])
def test_points(monkeypatch: pytest.MonkeyPatch, enabled: bool) -> None:
    if not enabled:
        monkeypatch.setattr(native, 'supports', lambda *_: False)
    maps, points = torch.randn(3, 6, 7, requires_grad=True), torch.rand(3, 40, 2)
    expected = F.grid_sample(maps[:, None], 2 * points[:, None] - 1, align_corners=False)[:, 0, 0]
    found = ops.sample_maps(maps, points)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(x.square().sum(), maps)[0] for x in (found, expected)]
    torch.testing.assert_close(*gradients)
    chosen = ops.most_uncertain(maps, points, 10)
    limit = expected.abs().sort(1).values[:, 9:10]
    assert chosen.shape == (3, 10, 2) and not chosen.requires_grad
    assert (ops.sample_maps(maps, chosen).abs() <= limit + 1e-5).all()
    features = torch.randn(2, 5, 6, 7)
    points = torch.rand(2, 9, 2)
    for index in range(2):
        each = ops.sample_maps(features[index], points[index].expand(5, -1, -1))
        torch.testing.assert_close(ops.sample_features(features, points)[index], each)


@pytest.mark.parametrize('enabled', [True, False])
def test_pair_statistics(monkeypatch: pytest.MonkeyPatch, enabled: bool) -> None:
    if not enabled:
        monkeypatch.setattr(native, 'supports', lambda *_: False)
    logits, masks = 5 * torch.randn(6, 300), torch.rand(4, 300)
    sums = pair_statistics(logits, masks)
    loss = F.binary_cross_entropy_with_logits(
        logits[:, None].expand(-1, 4, -1), masks.expand(6, -1, -1), reduction='none').sum(-1)
    torch.testing.assert_close(sums.softplus[:, None] - sums.product, loss, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(sums.sigmoid, logits.sigmoid().sum(1))
    torch.testing.assert_close(sums.sigmoid_product, logits.sigmoid() @ masks.T)


def test_deformable_attention_equals_grid_sample() -> None:
    sizes = [(3, 4), (6, 8)]
    value = torch.randn(2, 60, 2, 5, requires_grad=True)
    locations = (torch.rand(2, 7, 2, 2, 4, 2) * 1.2 - 0.1).requires_grad_()
    weights = torch.rand(2, 7, 2, 2, 4, requires_grad=True)
    inputs = (value, locations, weights)
    found = ops.deformable_attention(value, sizes, locations, weights)
    expected = grid_sample_attention(value, sizes, locations, weights)
    assert found.shape == (2, 7, 10)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(torch.autograd.grad(found.square().sum(), inputs),
                            torch.autograd.grad(expected.square().sum(), inputs), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize('enabled', [True, False])
def test_deformable_self_attention(monkeypatch: pytest.MonkeyPatch, enabled: bool) -> None:
    if not enabled:
        monkeypatch.setattr(native, 'supports', lambda *_: False)
    sizes = [(2, 3), (4, 6)]
    value = torch.randn(2, 30, 2, 5)
    offsets, logits = torch.randn(2, 30, 2, 2, 3, 2), torch.randn(2, 30, 2, 2, 3)
    # The second cell of the first level and the last one of the second.
    centres = {1: (0.5, 0.25), 29: (11 / 12, 7 / 8)}
    found = ops.deformable_self_attention(value, sizes, offsets, logits)
    weights = logits.flatten(3).softmax(-1).view_as(logits)
    scale = torch.tensor([(3.0, 2.0), (6.0, 4.0)])[:, None]
    for cell, centre in centres.items():
        locations = torch.tensor(centre) + offsets[:, cell:cell + 1] / scale
        expected = grid_sample_attention(value, sizes, locations, weights[:, cell:cell + 1])
        torch.testing.assert_close(found[:, cell], expected[:, 0])


@pytest.mark.parametrize('enabled', [True, False])
def test_row_statistics(monkeypatch: pytest.MonkeyPatch, enabled: bool) -> None:
    if not enabled:
        monkeypatch.setattr(native, 'supports', lambda *_: False)
    logits, masks = 5 * torch.randn(2, 3, 300), torch.rand(2, 3, 300)
    sums = row_statistics(logits, masks)
    loss = F.binary_cross_entropy_with_logits(logits, masks, reduction='none').sum(-1)
    torch.testing.assert_close(sums.softplus - sums.product, loss, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(sums.sigmoid, logits.sigmoid().sum(-1))
    torch.testing.assert_close(sums.sigmoid_product, (logits.sigmoid() * masks).sum(-1))
    torch.testing.assert_close(sums.mask, masks.sum(-1))


@pytest.mark.parametrize('rows', [512, 1700])
def test_feed_forward_equals_two_layers(rows: int) -> None:
    first, second = nn.Linear(6, 20), nn.Linear(20, 5)
    x = torch.randn(3, rows, 6, requires_grad=True)
    inputs = (x, *first.parameters(), *second.parameters())
    expected, found = second(first(x).relu()), onednn.feed_forward(*inputs)
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        torch.testing.assert_close(onednn.feed_forward(*inputs), expected)
    grad = torch.randn_like(expected)
    for ours, theirs in zip(torch.autograd.grad(found, inputs, grad),
                            torch.autograd.grad(expected, inputs, grad), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_linear_equals_torch() -> None:
    layer, x = nn.Linear(6, 20), torch.randn(2, 300, 6, requires_grad=True)
    expected = layer(x)
    found = onednn.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(found, expected)
    inputs, grad = (x, *layer.parameters()), torch.randn_like(expected)
    for ours, theirs in zip(torch.autograd.grad(found, inputs, grad),
                            torch.autograd.grad(expected, inputs, grad), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    frozen = onednn.linear(x, layer.weight.detach(), layer.bias.detach())
    assert torch.autograd.grad(frozen.sum(), x)[0].shape == x.shape


def test_onednn_is_for_many_rows_in_float32() -> None:
    many = torch.randn(2, 600, 4)
    assert onednn.supports(many) and not onednn.supports(many[:, :100])
    assert not onednn.supports(many.double())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert not onednn.supports(many)
    with torch.backends.mkldnn.flags(enabled=False):
        assert not onednn.supports(many)
