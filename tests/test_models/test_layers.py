"""Layers compute the same, whatever they keep for the backward pass."""

import weakref
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from unimask.models.layers import DeformableEncoderLayer, deformable_attention
from unimask.ops.recompute import recomputed

SIZES = ((12, 16), (6, 8))


def layer() -> DeformableEncoderLayer:
    torch.manual_seed(0)
    return DeformableEncoderLayer(
        width=16, num_heads=2, num_levels=2, num_points=2, ffn_channels=32, dropout=0.0)


def gradients(module: nn.Module) -> list[Tensor]:
    """Gradients of inputs and parameters."""
    torch.manual_seed(1)
    x = torch.randn(2, 240, 16, requires_grad=True)
    position = torch.randn(240, 16, requires_grad=True)
    out = module(x, position, SIZES)
    (out * torch.arange(16)).sum().backward()
    return [x.grad, position.grad, *(each.grad for each in module.parameters())]


def test_recomputed_values_change_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = gradients(layer())
    monkeypatch.setattr(deformable_attention, 'recomputed', lambda *_: nullcontext())
    theirs = gradients(layer())
    for found, expected in zip(ours, theirs, strict=True):
        assert torch.equal(found, expected)


def test_recomputed_value_is_not_kept() -> None:
    weight, x = torch.randn(4, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    calls = []

    def double() -> Tensor:
        calls.append(1)
        return 2 * x

    value = 2 * x
    with recomputed(value, double):
        out = value @ weight
    alive = weakref.ref(value)
    del value
    assert alive() is None and not calls
    out.sum().backward()
    torch.testing.assert_close(weight.grad, (2 * x).sum(0)[:, None].expand(4, 4))
    assert len(calls) == 1


@pytest.mark.parametrize('case', ['no_grad', 'no gradient', 'autocast', 'meta'])
def test_nothing_to_recompute(case: str) -> None:
    value = torch.randn(2, 2, requires_grad=case != 'no gradient',
                        device='meta' if case == 'meta' else 'cpu')
    around = dict(no_grad=torch.no_grad(), autocast=torch.autocast('cpu', dtype=torch.bfloat16))
    with around.get(case, nullcontext()):
        assert isinstance(recomputed(value, lambda: value), nullcontext)
