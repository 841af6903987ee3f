"""The compiled CPU kernels against plain torch, at their edges, and where they cannot be built."""

import logging
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unimask.ops.cpu import native, native_build

SHAPES = [(3, 4), (6, 7), (1, 9)]


@pytest.fixture
def kernels() -> None:
    """Skips where the machine has no compiler; a failing build of ours still shows below."""
    if native.load() is None:
        pytest.skip('the compiled CPU kernels are not available here')


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache folder, and no memory of earlier loads before and after."""
    monkeypatch.setenv('UNIMASK_CACHE', str(tmp_path))
    monkeypatch.delenv('UNIMASK_NATIVE', raising=False)
    native_build._load_once.cache_clear()
    yield tmp_path
    native_build._load_once.cache_clear()


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def attention_twin(value: Tensor, locations: Tensor, weights: Tensor, shapes=SHAPES) -> Tensor:
    batch, _, heads, channels = value.shape
    _, queries, _, _, points, _ = locations.shape
    total = 0
    levels = value.split([h * w for h, w in shapes], dim=1)
    for level, (rows, (h, w)) in enumerate(zip(levels, shapes, strict=True)):
        maps = rows.permute(0, 2, 3, 1).reshape(batch * heads, channels, h, w)
        grid = (2 * locations[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)
        sampled = F.grid_sample(maps, grid, align_corners=False)
        weight = weights[:, :, :, level].transpose(1, 2).reshape(batch * heads, 1, queries, points)
        total = total + (sampled * weight).sum(-1)
    return total.view(batch, heads * channels, queries).transpose(1, 2)


def sample_twin(maps: Tensor, points: Tensor) -> Tensor:
    return F.grid_sample(maps[:, None], 2 * points[:, None] - 1, align_corners=False)[:, 0, 0]


def attention_inputs(batch=2, queries=37, heads=3, channels=32, points=4, shapes=SHAPES):
    value = torch.randn(batch, sum(h * w for h, w in shapes), heads, channels)
    # A tenth outside on every side, so that border pixels and absent ones occur.
    locations = torch.rand(batch, queries, heads, len(shapes), points, 2) * 1.2 - 0.1
    weights = torch.rand(batch, queries, heads, len(shapes), points)
    return [x.requires_grad_() for x in (value, locations, weights)]


def assert_close(actual: Tensor, expected: Tensor) -> None:
    """To 1e-5 of the size of the tensor."""
    scale = expected.abs().max().clamp(min=1e-3).item() if expected.numel() else 1.0
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * scale)


# ----------------------------------------------------------------------------- deformable attention

@pytest.mark.parametrize(('batch', 'heads', 'channels', 'points'), [
    (2, 3, 32, 4), (1, 8, 16, 4), (1, 2, 64, 1), (2, 1, 5, 3), (1, 4, 123, 2), (1, 1, 1, 7)])
def test_attention_equals_twin(kernels, threads, batch, heads, channels, points):
    inputs = attention_inputs(batch=batch, heads=heads, channels=channels, points=points)
    value, locations, weights = inputs
    actual = native.ms_deform_attn(value, SHAPES, locations, weights)
    expected = attention_twin(*inputs)
    assert_close(actual, expected)
    grad_out = torch.randn_like(expected)  # its strides are those of a transposed tensor
    assert not grad_out.is_contiguous() or heads * channels == 1
    for ours, theirs in zip(torch.autograd.grad(actual, inputs, grad_out),
                            torch.autograd.grad(expected, inputs, grad_out), strict=True):
        assert_close(ours, theirs)


def test_attention_gradients_do_not_depend_on_threads(kernels):
    value, locations, weights = inputs = attention_inputs(batch=1, heads=4, queries=200)
    before, results = torch.get_num_threads(), []
    for count in (1, 3, 16):
        torch.set_num_threads(count)
        out = native.ms_deform_attn(value, SHAPES, locations, weights)
        results.append(torch.autograd.grad(out.square().sum(), inputs))
    torch.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)


def test_attention_finite_differences(kernels):
    shapes = [(2, 3)]
    value, locations, weights = inputs = attention_inputs(1, 2, 1, 2, 2, shapes)

    def total(*tensors: Tensor) -> Tensor:
        return native.ms_deform_attn(tensors[0], shapes, *tensors[1:]).square().sum()

    grads = torch.autograd.grad(total(*inputs), inputs)
    step = 1e-3
    for which, grad in enumerate(grads):
        for index in range(grad.numel()):
            values = []
            for sign in (1, -1):
                moved = [x.detach().clone() for x in inputs]
                moved[which].view(-1)[index] += sign * step
                values.append(total(*moved).item())
            slope = (values[0] - values[1]) / (2 * step)
            assert slope == pytest.approx(grad.view(-1)[index].item(), rel=2e-2, abs=2e-2)


def test_attention_takes_views(kernels):
    value, locations, weights = (x.detach() for x in attention_inputs(heads=4))
    views = [x.transpose(0, -1).contiguous().transpose(0, -1) for x in (value, locations, weights)]
    assert not any(x.is_contiguous() for x in views)
    assert torch.equal(native.ms_deform_attn(views[0], SHAPES, *views[1:]),
                       native.ms_deform_attn(value, SHAPES, locations, weights))


def test_attention_ignores_points_that_are_nowhere(kernels):
    value, locations, weights = attention_inputs()
    nowhere = torch.tensor([float('nan'), float('inf'), -float('inf'), 1e30, -1e30, -0.5, 7.0])
    spoilt = locations.detach().clone()
    spoilt[..., 0, 0] = nowhere[torch.arange(37) % 7][:, None, None]
    spoilt.requires_grad_()
    weights_without = weights.detach().clone()
    weights_without[..., 0] = 0
    out = native.ms_deform_attn(value, SHAPES, spoilt, weights)
    assert_close(out, attention_twin(value, locations, weights_without))
    for grad in torch.autograd.grad(out.sum(), (value, spoilt, weights)):
        assert grad.isfinite().all()


def test_attention_keeps_nan_and_inf_of_values(kernels):
    value = torch.zeros(1, 4, 1, 17)
    value[0, 0], value[0, 3] = float('nan'), float('inf')
    locations = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75]]).view(1, 3, 1, 1, 1, 2)
    out = native.ms_deform_attn(value, [(2, 2)], locations + 0.01, torch.ones(1, 3, 1, 1, 1))
    assert out[0, 0].isnan().all()
    assert out[0, 2].isinf().all()


@pytest.mark.parametrize('empty', ['batch', 'queries', 'heads', 'channels', 'points'])
def test_attention_of_nothing(kernels, empty):
    sizes = dict(batch=1, queries=2, heads=2, channels=4, points=1)
    sizes[empty] = 0
    value, locations, weights = inputs = attention_inputs(**sizes)
    out = native.ms_deform_attn(value, SHAPES, locations, weights)
    assert out.shape == (sizes['batch'], sizes['queries'], sizes['heads'] * sizes['channels'])
    for grad in torch.autograd.grad(out.sum(), inputs):
        assert not grad.any()


def test_attention_under_autocast_and_no_grad(kernels):
    value, locations, weights = attention_inputs()
    expected = native.ms_deform_attn(value.bfloat16().float(), SHAPES, locations, weights)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = native.ms_deform_attn(value.bfloat16(), SHAPES, locations, weights)
    assert out.dtype == torch.float32
    assert torch.equal(out, expected)
    out.sum().backward()
    assert value.grad.dtype == torch.float32
    with torch.no_grad():
        assert not native.ms_deform_attn(value, SHAPES, locations, weights).requires_grad


@pytest.mark.parametrize('points', [1, 4, 7])
def test_self_attention_equals_twin(kernels, threads, points):
    """Also with more samples a head than fit into one vector."""
    rows = sum(h * w for h, w in SHAPES)
    value = torch.randn(2, rows, 3, 8, requires_grad=True)
    reference = torch.rand(rows, 2)
    offsets = torch.randn(2, rows, 3, len(SHAPES), points, 2, requires_grad=True)
    logits = (3 * torch.randn(2, rows, 3, len(SHAPES), points)).requires_grad_()
    sizes = torch.tensor([(w, h) for h, w in SHAPES])[:, None]
    locations = reference[:, None, None, None] + offsets / sizes
    weights = logits.flatten(3).softmax(-1).view_as(logits)
    expected = attention_twin(value, locations, weights)
    ours = native.ms_deform_self_attn(value, SHAPES, reference, offsets, logits)
    assert_close(ours, expected)
    grad = torch.randn_like(ours)
    for mine, theirs in zip(torch.autograd.grad(ours, (value, offsets, logits), grad),
                            torch.autograd.grad(expected, (value, offsets, logits), grad),
                            strict=True):
        assert_close(mine, theirs)


def test_self_attention_refuses(kernels):
    value, offsets = torch.zeros(1, 6, 2, 8), torch.zeros(1, 6, 2, 1, 4, 2)
    with pytest.raises(ValueError, match=r'reference \(S,2\) must have shape \(6, 2\)'):
        native.ms_deform_self_attn(value, [(2, 3)], torch.zeros(5, 2), offsets, offsets[..., 0])


@pytest.mark.parametrize(('change', 'error', 'message'), [
    (dict(value=torch.zeros(2, 63, 3, 32, dtype=torch.float64)), TypeError, 'value must be'),
    (dict(value=torch.zeros(2, 63, 3)), ValueError, r'value \(B,S,H,D\) must have shape'),
    (dict(value=torch.zeros(2, 62, 3, 32)), ValueError, 'do not add up to the 62 rows'),
    (dict(shapes=[]), ValueError, 'do not add up'),
    (dict(shapes=[(-3, -4), (6, 7), (1, 9)]), ValueError, 'do not add up'),
    (dict(locations=torch.zeros(2, 37, 3, 3, 4, 3)), ValueError, r'locations \(B,Q,H,L,P,2\)'),
    (dict(weights=torch.zeros(2, 37, 3, 3, 5)), ValueError, r'weights \(B,Q,H,L,P\)'),
    (dict(weights=torch.zeros(2, 37, 3, 3, 4, device='meta')), TypeError, 'on meta'),
])
def test_attention_refuses(kernels, change, error, message):
    value, locations, weights = attention_inputs()
    arguments = dict(value=value, shapes=SHAPES, locations=locations, weights=weights) | change
    with pytest.raises(error, match=message):
        native.ms_deform_attn(**arguments)


# ------------------------------------------------------------------------------------------- points

@pytest.mark.parametrize(('count', 'size', 'points'), [
    (3, (8, 11), 700), (1, (1, 1), 5), (7, (5, 2), 1), (2, (64, 33), 9001)])
def test_sample_maps_equals_twin(kernels, threads, count, size, points):
    maps = torch.randn(count, *size, requires_grad=True)
    where = torch.rand(count, points, 2) * 1.2 - 0.1
    actual, expected = native.sample_maps(maps, where), sample_twin(maps, where)
    assert_close(actual, expected)
    grad_out = torch.randn(points, count).t()
    assert_close(*(torch.autograd.grad(x, maps, grad_out)[0] for x in (actual, expected)))


def test_sample_maps_at_shared_points(kernels):
    maps = torch.randn(4, 6, 5, requires_grad=True)
    shared = torch.rand(1, 300, 2).expand(4, -1, -1)
    actual, expected = native.sample_maps(maps, shared), sample_twin(maps, shared)
    assert_close(actual, expected)
    assert_close(*(torch.autograd.grad(x.square().sum(), maps)[0] for x in (actual, expected)))
    assert torch.equal(native.uncertain_points(maps, shared, 50),
                       native.uncertain_points(maps, shared.contiguous(), 50))


def test_sample_maps_takes_views(kernels):
    maps, where = torch.randn(5, 6, 3), torch.rand(2, 40, 3)
    views = maps.permute(2, 0, 1), where.permute(2, 1, 0)
    assert torch.equal(native.sample_maps(*views),
                       native.sample_maps(*(x.contiguous() for x in views)))


def test_points_that_are_nowhere_sample_zero(kernels):
    where = torch.tensor([[float('nan'), 0.5], [0.5, float('inf')], [-1e38, 0.5], [2., 2.]])
    maps = torch.ones(1, 4, 4, requires_grad=True)
    out = native.sample_maps(maps, where[None])
    assert torch.equal(out, torch.zeros(1, 4))
    out.sum().backward()
    assert not maps.grad.any()


@pytest.mark.parametrize('shape', [(0, 4, 4, 6), (0, 0, 0, 6), (2, 4, 4, 0)])
def test_no_maps_or_no_points(kernels, shape):
    count, h, w, points = shape
    maps, where = torch.randn(count, h, w, requires_grad=True), torch.rand(count, points, 2)
    out = native.sample_maps(maps, where)
    assert out.shape == (count, points)
    out.sum().backward()
    assert not maps.grad.any()
    assert native.uncertain_points(maps, where, points).shape == (count, points, 2)


def test_point_functions_refuse(kernels):
    maps, where = torch.randn(2, 4, 4), torch.rand(2, 9, 2)
    with pytest.raises(TypeError, match='maps must be a float32'):
        native.sample_maps(maps.double(), where)
    with pytest.raises(ValueError, match=r'points \(M,P,2\)'):
        native.sample_maps(maps, where[:1])
    with pytest.raises(ValueError, match='must have pixels'):
        native.sample_maps(maps[:, :0], where)
    for k in (-1, 10):
        with pytest.raises(ValueError, match=f'k={k} of 9 points'):
            native.uncertain_points(maps, where, k)


@pytest.mark.parametrize('dtype', [torch.bool, torch.uint8, torch.int16, torch.int32])
@pytest.mark.parametrize('shared', [False, True])
def test_sample_labels_equals_twin(kernels, threads, dtype, shared):
    maps = torch.randint(0, 2 if dtype == torch.bool else 4, (3, 9, 7)).to(dtype)
    sources, wanted = torch.tensor([2, 0, 0, 1, 2]), torch.tensor([1, 0, 1, 1, 0])
    points = torch.rand(1 if shared else 5, 300, 2).expand(5, -1, -1) * 1.4 - 0.2
    masks = (maps[sources] == wanted.to(dtype)[:, None, None]).float()
    assert_close(native.sample_labels(maps, sources, wanted, points), sample_twin(masks, points))


def test_sample_labels_refuses(kernels):
    maps, index, points = torch.zeros(2, 3, 3, dtype=torch.int16), torch.tensor([2]), torch.rand(
        1, 4, 2)
    with pytest.raises(IndexError, match=r'0 ... 1'):
        native.sample_labels(maps, index, index, points)
    with pytest.raises(TypeError, match='maps must be bool'):
        native.sample_labels(maps.float(), index - 1, index, points)
    assert native.sample_labels(maps, index[:0], index[:0], points[:0]).shape == (0, 4)


def as_rows(points: Tensor) -> list[tuple[float, ...]]:
    return sorted(map(tuple, points.tolist()))


@pytest.mark.parametrize('k', [1, 100, 599, 600])
def test_uncertain_points_equals_twin(kernels, threads, k):
    maps, where = torch.randn(3, 9, 8) * 10, torch.rand(3, 600, 2)
    actual = native.uncertain_points(maps, where, k)
    assert not actual.requires_grad
    # The twin ranks by our own samples: one rounding error must not decide.
    best = native.sample_maps(maps, where).abs().topk(k, largest=False).indices
    for ours, row, index in zip(actual, where, best, strict=True):
        assert as_rows(ours) == as_rows(row[index])


def test_uncertain_points_of_equal_ones_come_first(kernels):
    where = torch.rand(1, 50, 2) * 0.5 + 0.25  # no border pixels: every sample is exactly 1
    chosen = native.uncertain_points(torch.ones(1, 8, 8), where, 20)
    assert torch.equal(chosen, where[:, :20])


def test_uncertain_points_take_nan_last(kernels):
    nan = float('nan')
    values = torch.tensor([nan, -3., float('inf'), 2., -nan])
    wide = values.repeat_interleave(4).view(1, 1, 20)
    # Between two pixels of the same value: a neighbour's NaN with weight 0 would spread.
    x = (torch.arange(5) * 4 + 2) / 20
    where = torch.stack([x, torch.full((5,), 0.5)], -1)[None]
    order = [3, 1, 2]
    for k in (1, 2, 3):
        assert as_rows(native.uncertain_points(wide, where, k)[0]) == as_rows(where[0, order[:k]])
    assert native.uncertain_points(wide, where, 5).shape == (1, 5, 2)
    assert native.uncertain_points(torch.full_like(wide, nan), where, 2).shape == (1, 2, 2)


def test_uniform_points_are_uniform(kernels):
    points = native.uniform_points(3, 100_000)
    assert points.shape == (3, 100_000, 2)
    assert points.min() >= 0
    assert points.max() < 1
    x, y = points.flatten(0, 1).double().unbind(1)
    # Counts in a 16 x 16 grid: chi-square with 255 degrees of freedom, within 5 deviations.
    counts = torch.bincount((x * 16).long() * 16 + (y * 16).long(), minlength=256)
    expected = 300_000 / 256
    chi_square = ((counts - expected).square() / expected).sum().item()
    assert abs(chi_square - 255) < 5 * (2 * 255) ** 0.5
    # Neither x with y nor a number with the next one is correlated (deviation 1 / sqrt(n)).
    for a, b in ((x, y), (x[1:], x[:-1]), (y[1:], x[:-1])):
        assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 5 / 300_000 ** 0.5


def test_uniform_points_follow_the_seed(kernels, threads):
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws += [native.uniform_points(70_000), native.uniform_points(70_000)]
    assert torch.equal(torch.stack(draws[:2]), torch.stack(draws[2:4]))
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[4])
    assert native.uniform_points(0, 5).shape == (0, 5, 2)
    torch.set_num_threads(1)
    torch.manual_seed(1)
    assert torch.equal(native.uniform_points(70_000), draws[0])


def test_drawn_uncertain_points_are_those_of_uniform_points(kernels, threads):
    maps = torch.randn(4, 9, 8)
    torch.manual_seed(3)
    expected = native.uncertain_points(maps, native.uniform_points(4, 700), 90)
    torch.manual_seed(3)
    assert torch.equal(native.draw_uncertain_points(maps, 700, 90), expected)
    assert not torch.equal(native.draw_uncertain_points(maps, 700, 90), expected)
    assert native.draw_uncertain_points(maps[:0], 700, 90).shape == (0, 90, 2)
    torch.manual_seed(3)
    drawn = native.draw_uncertain_points(maps, 700, 90, others=30)
    assert torch.equal(drawn[:, :90], expected)
    torch.manual_seed(3)
    assert torch.equal(drawn[:, 90:], native.uniform_points(4 * 730)[4 * 700:].view(4, 30, 2))
    assert native.draw_uncertain_points(maps, 700, 0, others=30).shape == (4, 30, 2)
    with pytest.raises(ValueError, match='k=701 of 700 points'):
        native.draw_uncertain_points(maps, 700, 701)


# ----------------------------------------------------------------------------------------- matching

@pytest.mark.parametrize(('rows', 'count', 'points'), [
    (5, 3, 1000), (1, 1, 1), (2, 4, 16), (33, 9, 513), (4, 0, 20), (0, 3, 20), (3, 2, 0)])
def test_pair_statistics_equals_float64(kernels, threads, rows, count, points):
    logits, targets = torch.randn(rows, points) * 5, torch.rand(count, points)
    x, t = logits.double(), targets.double()
    expected = (F.softplus(x).sum(1), x.sigmoid().sum(1), x @ t.t(), x.sigmoid() @ t.t())
    for ours, theirs in zip(native.pair_statistics(logits, targets), expected, strict=True):
        assert_close(ours, theirs.float())


def test_activations_are_exact_to_1e_6(kernels):
    logits = torch.cat([torch.linspace(-80, 80, 20001), torch.tensor([0., -0., 1e-20, -1e-20])])
    softplus, sigmoid, _, _ = native.pair_statistics(logits[:, None], torch.zeros(0, 1))
    x = logits.double()
    exact = torch.where(x > 0, x, 0) + torch.log1p(torch.exp(-x.abs()))
    assert ((softplus - exact) / exact).abs().max() < 1e-6
    assert ((sigmoid - x.sigmoid()) / x.sigmoid()).abs().max() < 1e-6


def test_pair_statistics_of_extreme_logits(kernels):
    logits = torch.tensor([[float('inf')], [-float('inf')], [1e38], [-1e38], [float('nan')]])
    softplus, sigmoid, dot, sigmoid_dot = native.pair_statistics(logits, torch.ones(1, 1))
    torch.testing.assert_close(softplus, F.softplus(logits[:, 0]), equal_nan=True)
    torch.testing.assert_close(sigmoid, logits[:, 0].sigmoid(), equal_nan=True)
    torch.testing.assert_close(dot, logits, equal_nan=True)
    torch.testing.assert_close(sigmoid_dot, logits.sigmoid(), equal_nan=True)


def test_pair_statistics_refuses(kernels):
    with pytest.raises(ValueError, match=r'targets \(N,P\) must have shape \(any, 5\)'):
        native.pair_statistics(torch.zeros(2, 5), torch.zeros(2, 4))
    with pytest.raises(TypeError, match='targets must be a float32'):
        native.pair_statistics(torch.zeros(2, 5), torch.zeros(2, 5, dtype=torch.bool))


# ------------------------------------------------------------------------------------------- losses

@pytest.mark.parametrize(('rows', 'points'), [(5, 1000), (1, 1), (3, 16), (2, 513), (0, 7), (2, 0)])
def test_row_statistics_equals_float64(kernels, threads, rows, points):
    logits = (torch.randn(rows, points) * 5).requires_grad_()
    targets, weights = torch.rand(rows, points), torch.randn(5, rows)
    x, t = logits.detach().double().requires_grad_(), targets.double()
    expected = torch.stack([F.softplus(x).sum(1), x.sigmoid().sum(1), (x * t).sum(1),
                            (x.sigmoid() * t).sum(1), t.sum(1)])
    ours = native.row_statistics(logits, targets)
    assert_close(ours, expected.float())
    grad, = torch.autograd.grad(ours, logits, weights)
    expected_grad, = torch.autograd.grad(expected, x, weights.double())
    assert_close(grad, expected_grad.float())


def test_row_statistics_of_extreme_logits(kernels):
    logits = torch.tensor([[1e4], [-1e4], [float('nan')]], requires_grad=True)
    sums = native.row_statistics(logits, torch.ones(3, 1))
    torch.testing.assert_close(sums[0], F.softplus(logits[:, 0]), equal_nan=True)
    grad, = torch.autograd.grad(sums[:2].sum(), logits)
    torch.testing.assert_close(grad[:, 0], torch.tensor([1.0, 0.0, float('nan')]), equal_nan=True)


def test_row_statistics_refuses(kernels):
    with pytest.raises(ValueError, match=r'targets \(R,P\) must have shape \(2, 5\)'):
        native.row_statistics(torch.zeros(2, 5), torch.zeros(1, 5))


# ----------------------------------------------------------------------------------------- supports

def test_supports_plain_cpu_tensors_only(kernels):
    plain = torch.zeros(2)
    assert native.supports(plain, torch.nn.Parameter(plain), plain.bfloat16())
    assert not native.supports(plain, plain.double())
    assert not native.supports(plain.to('meta'))
    assert not native.supports(plain.to_sparse())

    def traced(x: Tensor) -> Tensor:
        assert not native.supports(x)
        return x + 1

    torch.jit.trace(traced, plain, check_trace=False)


# ----------------------------------------------------------------------------- building and failing

@pytest.mark.slow
def test_builds_once_and_quietly(kernels, fresh, monkeypatch, capfd, caplog):
    assert native.load() is not None
    library, = fresh.glob('native-*/unimask_native.so')
    assert stat.S_ISREG(library.stat().st_mode)
    native_build._load_once.cache_clear()

    def no_build(*_: object) -> None:
        raise AssertionError('built twice')

    monkeypatch.setattr(native_build, '_compile', no_build)
    assert native.load() is not None
    assert not caplog.records
    assert capfd.readouterr() == ('', '')


@pytest.mark.slow
def test_processes_and_threads_may_load_together(kernels, fresh):
    code = ('from concurrent.futures import ThreadPoolExecutor as T\n'
            'from unimask.ops.cpu import native\n'
            'r = list(T(4).map(lambda _: native.load(), range(4)))\n'
            'assert r[0] is not None and all(x is r[0] for x in r)')
    command = [sys.executable, '-c', code]
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(
            lambda _: subprocess.run(command, capture_output=True, text=True), range(3)))
    assert [(r.returncode, r.stderr) for r in results] == [(0, '')] * 3
    assert len(list(fresh.glob('native-*/unimask_native.so'))) == 1
    assert not list(fresh.glob('native-*/*.partial'))


def test_switched_off_is_silent(fresh, monkeypatch, caplog):
    monkeypatch.setenv('UNIMASK_NATIVE', '0')
    assert native.load() is None
    assert not native.supports(torch.zeros(1))
    assert not caplog.records
    with pytest.raises(RuntimeError, match='not available'):
        native.sample_maps(torch.zeros(1, 2, 2), torch.zeros(1, 1, 2))


def script(path, text: str) -> str:
    path.write_text(f'#!/bin/sh\n{text}\n')
    path.chmod(0o755)
    return str(path)


def failure(caplog) -> str:
    """The warning of a failed load: exactly one, on one line, also after a second call."""
    with caplog.at_level(logging.WARNING, 'unimask'):
        assert native.load() is None
        assert native.load() is None
    record, = caplog.records
    assert '\n' not in record.getMessage()
    return record.getMessage()


def test_no_compiler(fresh, monkeypatch, caplog):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    assert "no C++ compiler 'no-such-compiler'; install one" in failure(caplog)


def test_failing_compiler(fresh, monkeypatch, caplog):
    compiler = script(fresh / 'cxx', 'echo note: hm; echo "a.cpp:1: error: bad luck" >&2; exit 3')
    monkeypatch.setenv('CXX', compiler)
    message = failure(caplog)
    assert 'exit status 3' in message
    assert 'a.cpp:1: error: bad luck' in message
    assert not list(fresh.glob('native-*/*.so'))


def test_compiler_that_hangs(fresh, monkeypatch, caplog):
    monkeypatch.setenv('CXX', script(fresh / 'cxx', 'exec sleep 30'))
    monkeypatch.setattr(native_build, 'BUILD_TIMEOUT', 0.2)
    assert 'took longer than' in failure(caplog)


def test_compiler_that_writes_rubbish(fresh, monkeypatch, caplog):
    text = 'while [ "$1" != -o ] && [ $# -gt 0 ]; do shift; done; [ $# = 0 ] || echo x > "$2"'
    monkeypatch.setenv('CXX', script(fresh / 'cxx', text))
    assert 'file too short' in failure(caplog)


def test_sources_missing(fresh, monkeypatch, caplog):
    monkeypatch.setattr(native_build, 'SOURCES', fresh)
    assert 'no C++ sources' in failure(caplog)


@pytest.mark.slow
def test_cache_that_cannot_be_written(kernels, fresh, monkeypatch, tmp_path):
    blocked = tmp_path / 'file'
    blocked.write_text('')
    monkeypatch.setenv('UNIMASK_CACHE', str(blocked / 'below'))
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    assert native.load() is not None
    folder = tmp_path / f'unimask-{os.getuid()}'
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_temporary_folder_of_somebody_else(fresh, monkeypatch, caplog, tmp_path):
    blocked = tmp_path / 'file'
    blocked.write_text('')
    monkeypatch.setenv('UNIMASK_CACHE', str(blocked / 'below'))
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    folder = tmp_path / f'unimask-{os.getuid()}'
    folder.mkdir()
    folder.chmod(0o777)  # anybody could put a library there
    assert 'is not yours alone' in failure(caplog)
