"""Layers compute the same, whatever they keep for the backward pass."""

import weakref
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.layers import ConvNorm, DeformableEncoderLayer, deformable_attention
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


@pytest.mark.parametrize('norm', [
    dict(type='BN'), dict(type='SyncBN', momentum=0.3), dict(type='GN', num_groups=4),
    dict(type='BN', requires_grad=False)])
@pytest.mark.parametrize('relu', [False, True])
def test_convolution_with_norm_is_that_of_mmcv(norm: dict, relu: bool) -> None:
    """Parameters by name and first value, their gradients' switch, and the output."""
    cnn = pytest.importorskip('mmcv.cnn')
    torch.manual_seed(0)
    ours = ConvNorm(6, 8, 3, norm=norm, relu=relu)
    torch.manual_seed(0)
    theirs = cnn.ConvModule(6, 8, 3, padding=1, bias=False, norm_cfg=norm,
                            act_cfg=dict(type='ReLU') if relu else None)
    pair = (ours, theirs) if norm['type'] == 'GN' else (theirs, ours)  # ours is a subclass, mmcv's
    assert isinstance(pair[0].norm, type(pair[1].norm))
    assert vars(ours.norm).get('momentum') == vars(theirs.norm).get('momentum')
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for (name, found), expected in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(found, expected), name
        assert found.requires_grad == expected.requires_grad == (
            norm.get('requires_grad', True) or name == 'conv.weight')
    x = torch.randn(2, 6, 5, 7)
    if norm['type'] == 'SyncBN':  # which needs a GPU in training
        ours, theirs = ours.eval(), theirs.eval()
    assert torch.equal(ours(x), theirs(x))
    assert bool((ours(x) < 0).any()) is not relu


def test_norm_that_there_is_not() -> None:
    with pytest.raises(UserError, match="'LN'.*'SyncBN'"):
        ConvNorm(6, 8, 3, norm=dict(type='LN'), relu=True)
