"""Group norm on the CPU, with gradients for maps whose channels come last in memory.

Shapes: B batch, C channels, G groups of D channels, P = H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unimask.ops.cpu import wanted

__all__ = ['group_norm', 'supports']


def supports(x: Tensor, *parameters: Tensor | None) -> bool:
    """Whether :func:`group_norm` is the faster way: gradients are wanted of maps on the CPU whose
    channels come last. torch 2.12 takes six to ten times as long for theirs as for others'."""
    return (x.device.type == 'cpu' and x.dim() == 4 and wanted() and torch.is_grad_enabled()
            and all(each is not None for each in parameters)
            and any(each.requires_grad for each in (x, *parameters))
            and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
            and not torch.compiler.is_compiling() and not torch.jit.is_tracing())


def group_norm(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """``F.group_norm``: x (B, C, H, W), weight and bias (C,) -> (B, C, H, W)."""
    return _GroupNorm.apply(x, groups, weight, bias, eps)


class _GroupNorm(torch.autograd.Function):
    """y = (x - mean) rstd weight + bias, with one mean and one rstd for each group of an image."""

    @staticmethod
    def forward(ctx, x, groups, weight, bias, eps):
        batch, channels, height, width = x.shape
        out, mean, rstd = torch.ops.aten.native_group_norm(
            x, weight, bias, batch, channels, height * width, groups, eps)
        ctx.save_for_backward(x, weight, mean, rstd)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        maps, weight, mean, rstd = ctx.saved_tensors
        x, grad = _pixels(maps), _pixels(grad)
        shape = (len(x), mean.shape[1], -1)  # (B, G, D)
        exact = torch.promote_types(mean.dtype, torch.float32)
        mean, rstd = mean.to(exact).unsqueeze(2), rstd.to(exact).unsqueeze(2)
        # Only the sums need all pixels. They are over them in the order in which they lie.
        total = grad.sum(1, dtype=exact).view(shape)
        product = (grad * x).sum(1, dtype=exact).view(shape)
        grad_weight = ((product - total * mean) * rstd).sum(0).flatten()
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = _input_gradient(x, grad, weight.view(1, *shape[1:]), mean, rstd,
                                     total, product).transpose(1, 2).view_as(maps)
        return (grad_x, None, grad_weight.to(weight.dtype),
                total.sum(0).flatten().to(weight.dtype), None)


def _input_gradient(x: Tensor, grad: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor,
                    total: Tensor, product: Tensor) -> Tensor:
    """(B, P, C): ``grad * weight * rstd`` less its mean over the group and its projection on the
    normalised x, which is an affine function of ``grad`` and x with a few factors for each image.

    Args:
        x: (B, P, C).
        grad: (B, P, C), of the output.
        weight: (1, G, D).
        mean: (B, G, 1).
        rstd: (B, G, 1).
        total: (B, G, D), sum of ``grad`` over pixels.
        product: (B, G, D), sum of ``grad * x``.
    """
    count = x.shape[1] * total.shape[2]
    total, product = ((weight * each).sum(2, keepdim=True) for each in (total, product))
    slope = (total * mean - product) * rstd**3 / count
    offset = -slope * mean - total * rstd / count
    each = (x.shape[0], 1, x.shape[2])
    of_grad, of_x, constant = (
        factor.expand(-1, -1, weight.shape[2]).reshape(each).to(x.dtype)
        for factor in (weight * rstd, slope, offset))
    return torch.addcmul(constant, x, of_x).addcmul_(grad, of_grad)


def _pixels(maps: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, P, C), without a copy where the channels come last."""
    return maps.flatten(2).transpose(1, 2)
