"""Modulated deformable convolution: every implementation against each other and at its edges."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unimask.ops import deformable_conv
from unimask.ops.cpu import native

module = sys.modules['unimask.ops.deformable_conv']


@pytest.fixture
def kernels() -> None:
    if native.load() is None:
        pytest.skip('the compiled CPU kernels are not available here')


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def inputs(size: tuple[int, int] = (9, 7), *, channels: int = 40, groups: int = 2, reach: float = 3,
           kernel: tuple[int, int] = (3, 3)) -> dict[str, Tensor]:
    """Two images; some taps look beyond the border."""
    taps = kernel[0] * kernel[1]
    made = dict(
        x=torch.randn(2, channels, *size), offset=reach * torch.randn(2, 2 * groups * taps, *size),
        mask=torch.rand(2, groups * taps, *size), weight=torch.randn(5, channels, *kernel),
        bias=torch.randn(5))
    return {name: value.requires_grad_() for name, value in made.items()}


def outcome(function: Callable, given: dict[str, Tensor]) -> list[Tensor]:
    """Values, and gradients of everything."""
    rest = {name: given[name] for name in ('weight', 'bias')}
    out = function(given['x'], given['offset'], given['mask'], **rest)
    direction = torch.arange(float(out.numel())).cos().add(1.5).view_as(out)
    return [out, *torch.autograd.grad(out, tuple(given.values()), direction)]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        scale = theirs.abs().max().clamp(min=1e-3).item()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5 * scale)


SETTINGS = [dict(), dict(size=(40, 30)), dict(size=(1, 1)), dict(size=(2, 5), channels=9, groups=3),
            dict(channels=64, groups=1), dict(kernel=(1, 5))]


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_ours_equals_torchvision(kernels: None, threads: None, settings: dict) -> None:
    """The second takes two blocks."""
    given = inputs(**settings)
    assert_same(outcome(deformable_conv, given), outcome(module.torchvision_conv, given))


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_mmcv_equals_torchvision(settings: dict) -> None:
    pytest.importorskip('mmcv.ops')
    given = inputs(**settings)
    assert_same(outcome(module.mmcv_conv, given), outcome(module.torchvision_conv, given))


def test_at_the_start_ours_equals_mmcv(kernels: None) -> None:
    """Whole pixels, where slopes jump. torchvision's differ at -1 exactly, which moves nothing."""
    pytest.importorskip('mmcv.ops')
    given = inputs(reach=0)
    ours, mmcv, torchvision = (outcome(function, given) for function in (
        deformable_conv, module.mmcv_conv, module.torchvision_conv))
    assert_same(ours, mmcv)
    del ours[2], torchvision[2]  # the gradient of the offsets
    assert_same(ours, torchvision)


def test_maps_in_any_order_of_memory(kernels: None) -> None:
    given = inputs()
    last = {name: value.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
            if value.dim() == 4 else value for name, value in given.items()}
    assert_same(outcome(deformable_conv, last), outcome(deformable_conv, given))


def test_gradients_do_not_depend_on_threads(kernels: None) -> None:
    given, before, results = inputs(groups=8), torch.get_num_threads(), []
    given['weight'].requires_grad_(False)  # its gradient is a matrix product, which may
    wanted = [given[name] for name in ('x', 'offset', 'mask')]
    for count in (1, 3):
        torch.set_num_threads(count)
        out = deformable_conv(given['x'], given['offset'], given['mask'],
                              weight=given['weight'], bias=given['bias'])
        results.append(torch.autograd.grad(out.sum(), wanted))
    torch.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('compiled', [True, False])
def test_without_offsets_it_is_a_convolution(compiled: bool, monkeypatch: pytest.MonkeyPatch
                                             ) -> None:
    if not compiled:
        monkeypatch.setattr(native, 'load', lambda: None)
    given = inputs(reach=0)
    out = deformable_conv(given['x'], given['offset'], torch.ones_like(given['mask']),
                          weight=given['weight'], bias=given['bias'])
    torch.testing.assert_close(
        out, F.conv2d(given['x'], given['weight'], given['bias'], padding=1), rtol=1e-4, atol=1e-4)


def test_full_precision_under_autocast() -> None:
    given = inputs()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        lowered = outcome(deformable_conv, given)
    assert_same(lowered, outcome(deformable_conv, given))
    half = {name: value.detach().half() for name, value in given.items()}
    out = deformable_conv(half['x'], half['offset'], half['mask'], weight=half['weight'],
                          bias=half['bias'])
    assert out.dtype == torch.float32


def test_double_precision_gradients() -> None:
    given = {name: value.detach().double().requires_grad_()
             for name, value in inputs((2, 3), channels=2, groups=1).items()}
    assert torch.autograd.gradcheck(
        lambda x, offset, mask, weight, bias: deformable_conv(
            x, offset, mask, weight=weight, bias=bias), tuple(given.values()))


def test_taps_that_are_nowhere_count_nothing(kernels: None) -> None:
    given = inputs()
    nowhere = torch.full_like(given['offset'], float('inf'))
    nowhere[:, ::3] = float('nan')
    given['offset'] = nowhere.requires_grad_()
    out, *gradients = outcome(deformable_conv, given)
    torch.testing.assert_close(out, given['bias'][:, None, None].expand_as(out))
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(('name', 'shape'), [
    ('offset', (2, 36, 9, 8)), ('mask', (2, 17, 9, 7)), ('weight', (5, 41, 3, 3)),
    ('weight', (5, 40, 2, 2)), ('x', (2, 39, 9, 7))])
def test_shapes_that_do_not_fit(kernels: None, name: str, shape: tuple[int, ...]) -> None:
    given = inputs()
    given[name] = torch.zeros(shape)
    with pytest.raises(ValueError, match='must have shape|fit no groups'):
        native.deform_conv(*(given[name] for name in ('x', 'offset', 'mask', 'weight')))
