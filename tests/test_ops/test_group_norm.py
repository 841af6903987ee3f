"""Gradients of group norm where channels come last in memory."""

import pytest
import torch
from torch import Tensor, nn

from unimask.models.layers import GroupNorm
from unimask.ops.cpu import group_norm as cpu


def norm_of(channels: int = 8, groups: int = 4) -> GroupNorm:
    torch.manual_seed(0)
    norm = GroupNorm(groups, channels)
    nn.init.normal_(norm.weight, 1, 0.3)
    nn.init.normal_(norm.bias)
    return norm


def gradients(norm: nn.GroupNorm, x: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    """Output and gradients of input, weight and bias."""
    x = x.clone().requires_grad_()  # keeps the order in memory
    norm.zero_grad()
    out = norm(x)
    out.backward(grad)
    return out.detach(), x.grad, norm.weight.grad.clone(), norm.bias.grad.clone()


def plain(norm: GroupNorm) -> nn.GroupNorm:
    other = nn.GroupNorm(norm.num_groups, norm.num_channels, norm.eps).to(norm.weight.dtype)
    other.load_state_dict(norm.state_dict())
    return other


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Shapes of the inputs that were computed here and not by torch."""
    seen, function = [], cpu.group_norm

    def noted(x: Tensor, *rest) -> Tensor:
        seen.append(x.shape)
        return function(x, *rest)

    monkeypatch.setattr(cpu, 'group_norm', noted)
    return seen


@pytest.mark.parametrize('order', [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_same_as_torch(calls: list, dtype: torch.dtype, tolerance: float,
                       order: torch.memory_format) -> None:
    """Whatever the order of the output's gradient; far from zero, where sums lose digits."""
    norm = norm_of().to(dtype)
    x = 3 + torch.randn(2, 8, 5, 7, dtype=dtype).contiguous(memory_format=torch.channels_last)
    grad = torch.randn(2, 8, 5, 7, dtype=dtype).contiguous(memory_format=order)
    found, expected = gradients(norm, x, grad), gradients(plain(norm), x, grad)
    assert calls == [x.shape]
    assert found[1].is_contiguous(memory_format=torch.channels_last)
    for name, ours, theirs in zip(('out', 'x', 'weight', 'bias'), found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance, msg=name)


def test_gradcheck(calls: list) -> None:
    norm = norm_of().double()
    x = torch.randn(2, 8, 3, 2, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    assert torch.autograd.gradcheck(norm, x.requires_grad_())
    assert calls


@pytest.mark.parametrize('all_of_it', [False, True])
def test_bfloat16(calls: list, all_of_it: bool) -> None:
    """Input alone, as under autocast, or weights as well: as near to float32 as torch's own."""
    norm = norm_of()
    x = torch.randn(2, 8, 16, 16).contiguous(memory_format=torch.channels_last)
    grad = torch.randn(2, 8, 16, 16).contiguous(memory_format=torch.channels_last)
    exact = gradients(plain(norm), x, grad)
    if all_of_it:
        norm = norm.bfloat16()
    low = x.bfloat16(), grad.bfloat16()
    found, theirs = gradients(norm, *low), gradients(plain(norm), *low)
    assert calls and all(each.dtype == other.dtype
                         for each, other in zip(found, theirs, strict=True))
    for ours, other, wanted in zip(found, theirs, exact, strict=True):
        error, allowed = ((each.float() - wanted).norm() / wanted.norm() for each in (ours, other))
        assert error < 2 * allowed + 2e-3


def test_parts_that_do_not_learn(calls: list) -> None:
    x = torch.randn(2, 8, 4, 4).contiguous(memory_format=torch.channels_last)
    frozen = norm_of().requires_grad_(False)
    x.requires_grad_()
    frozen(x).sum().backward()
    assert x.grad is not None and frozen.weight.grad is None and len(calls) == 1
    norm = norm_of()
    norm(x.detach()).sum().backward()
    assert norm.weight.grad is not None and len(calls) == 2


def test_left_to_torch(calls: list, monkeypatch: pytest.MonkeyPatch) -> None:
    norm, x = norm_of(), torch.randn(2, 8, 4, 4)
    last = x.contiguous(memory_format=torch.channels_last)
    norm(x)
    norm(x.flatten(2))
    with torch.no_grad():
        norm(last)
    monkeypatch.setenv('UNIMASK_NATIVE', '0')
    norm(last)
    assert not calls
    GroupNorm(4, 8, affine=False)(last)
    monkeypatch.delenv('UNIMASK_NATIVE')
    norm(last)
    assert len(calls) == 1
