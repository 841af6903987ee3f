"""Two linear layers with ReLU between them, with little memory.

Shapes: N rows, E width, H hidden width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Hidden values of so many rows stay in the CPU's caches.
_ROWS = 512


def saves_memory(x: Tensor) -> bool:
    """Whether :func:`feed_forward` takes ``x`` and gains by it: many float32 rows on the CPU.

    False under autocast, and while torch traces, compiles or exports.
    """
    plain = type(x) is Tensor and x.device.type == 'cpu' and x.dtype == torch.float32
    return (plain and x.numel() >= 2 * _ROWS * x.shape[-1]
            and not torch.is_autocast_enabled('cpu')
            and not torch.jit.is_tracing() and not torch.compiler.is_compiling())


def feed_forward(x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor,
                 bias2: Tensor) -> Tensor:
    """``relu(x @ weight1.T + bias1) @ weight2.T + bias2``, differentiable once.

    The hidden values are several times larger than ``x``, and fresh memory takes time on the CPU.
    Without gradients they never exist as a whole; with them, their gradient is masked in place.

    Args:
        x: (..., E) float32.
        weight1: (H, E).
        bias1: (H,).
        weight2: (E', H).
        bias2: (E',).

    Returns:
        (..., E').
    """
    rows = x.flatten(0, -2)
    parameters = (weight1, bias1, weight2, bias2)
    if torch.is_grad_enabled() and any(each.requires_grad for each in (x, *parameters)):
        out = _FeedForward.apply(rows, *parameters)
    else:
        out = _in_pieces(rows, *parameters)
    return out.unflatten(0, x.shape[:-1])


def _in_pieces(x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor,
               bias2: Tensor) -> Tensor:
    out = x.new_empty(len(x), len(weight2))
    hidden = x.new_empty(_ROWS, len(weight1))
    for x_part, out_part in zip(x.split(_ROWS), out.split(_ROWS), strict=True):
        part = torch.addmm(bias1, x_part, weight1.t(), out=hidden[:len(x_part)]).relu_()
        torch.addmm(bias2, part, weight2.t(), out=out_part)
    return out


class _FeedForward(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x, weight1, bias1, weight2, bias2):
        hidden = torch.addmm(bias1, x, weight1.t()).relu_()
        ctx.save_for_backward(x, hidden, weight1, weight2)
        return torch.addmm(bias2, hidden, weight2.t())

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, hidden, weight1, weight2 = ctx.saved_tensors
        inner = grad @ weight2
        torch.ops.aten.threshold_backward.grad_input(inner, hidden, 0, grad_input=inner)
        return inner @ weight1, inner.t() @ x, inner.sum(0), grad.t() @ hidden, grad.sum(0)
