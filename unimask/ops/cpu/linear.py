"""Linear layers by oneDNN: many float32 rows on the CPU.

torch computes them with BLAS, which is slower on many CPUs and writes its result twice more, for
the bias and for a ReLU. oneDNN, which torch contains for convolutions, does all in one pass.

Shapes: N rows, E inputs, F outputs, H hidden width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unimask.ops.cpu import wanted

__all__ = ['feed_forward', 'linear', 'supports']

_ROWS = 512  # hidden values of so many rows stay in the CPU's caches
_LEAST = 256  # rows from which on the layers gain


def supports(x: Tensor) -> bool:
    """Whether the functions below take ``x`` (..., E) and gain by it.

    False under autocast, and while torch traces, compiles or exports.
    """
    plain = type(x) is Tensor and x.device.type == 'cpu' and x.dtype == torch.float32
    return (plain and x.numel() >= _LEAST * x.shape[-1] and _has_onednn()
            and not torch.is_autocast_enabled('cpu')
            and not torch.jit.is_tracing() and not torch.compiler.is_compiling())


def _has_onednn() -> bool:
    return (wanted() and torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
            and hasattr(torch.ops.mkldnn, '_linear_pointwise'))


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``x @ weight.T + bias``, differentiable once.

    Args:
        x: (..., E) float32.
        weight: (F, E).
        bias: (F,).

    Returns:
        (..., F).
    """
    return _Linear.apply(x.flatten(0, -2), weight, bias).unflatten(0, x.shape[:-1])


def feed_forward(x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor,
                 bias2: Tensor) -> Tensor:
    """``relu(x @ weight1.T + bias1) @ weight2.T + bias2``, differentiable once.

    The hidden values are several times larger than ``x``, and fresh memory takes time. Without
    gradients they never exist as a whole; with them, their gradient is masked in place.

    Args:
        x: (..., E) float32.
        weight1: (H, E).
        bias1: (H,).
        weight2: (F, H).
        bias2: (F,).

    Returns:
        (..., F).
    """
    rows = x.flatten(0, -2)
    parameters = (weight1, bias1, weight2, bias2)
    if torch.is_grad_enabled() and any(each.requires_grad for each in (x, *parameters)):
        out = _FeedForward.apply(rows, *parameters)
    else:
        out = torch.cat([
            _product(_product(part, weight1, bias1, relu=True), weight2, bias2)
            for part in rows.split(_ROWS)])
    return out.unflatten(0, x.shape[:-1])


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, *, relu: bool = False) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(
        x, weight, bias, 'relu' if relu else 'none', [], '')


class _Linear(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (_product(grad, weight.t().contiguous(), None) if needs_x else None,
                grad.t() @ x if needs_weight else None, grad.sum(0) if needs_bias else None)


class _FeedForward(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x, weight1, bias1, weight2, bias2):
        hidden = _product(x, weight1, bias1, relu=True)
        ctx.save_for_backward(x, hidden, weight1, weight2)
        return _product(hidden, weight2, bias2)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, hidden, weight1, weight2 = ctx.saved_tensors
        grad = grad.contiguous()
        grad_weight2, grad_bias2 = grad.t() @ hidden, grad.sum(0)
        inner = _product(grad, weight2.t().contiguous(), None)
        torch.ops.aten.threshold_backward.grad_input(inner, hidden, 0, grad_input=inner)
        grad_x = _product(inner, weight1.t().contiguous(), None)
        return grad_x, inner.t() @ x, inner.sum(0), grad_weight2, grad_bias2
