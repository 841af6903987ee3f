"""Frozen batch norms that cost no memory in training."""

from __future__ import annotations

import operator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.autograd.function import once_differentiable

_ADDS = (operator.add, operator.iadd, torch.add)
_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


def fold_frozen_norms(backbone: nn.Module) -> bool:
    """Let each convolution be one step with the frozen batch norm that follows it, in training.

    A sum and a ReLU that follow belong to the step. The forward pass is the same to the last bit;
    of its intermediate values none is kept. In the backward pass the norm's scale is applied to
    the weights instead of the gradients of activations (the identity that You et al. use forward,
    "Efficient ConvBN Blocks for Transfer Learning and Beyond", 2023). Parameters, their names and
    evaluation stay as they are.

    Returns:
        Whether it was done: there are frozen norms and the backbone can be traced.
    """
    norms = [each for each in backbone.modules() if type(each) in _NORMS]
    if all(_trained(norm) for norm in norms):
        return False
    try:
        graph = fx.symbolic_trace(backbone)
    except (fx.proxy.TraceError, TypeError, NotImplementedError):
        return False  # its forward depends on the input's values
    if not _fold(graph):
        return False
    # Both are arguments of a partial, so that a copy of the backbone refers to its own parts.
    backbone.forward = partial(_forward, backbone, graph)
    return True


def _forward(backbone: nn.Module, folded: fx.GraphModule, images: Tensor) -> tuple[Tensor, ...]:
    if backbone.training and not torch.compiler.is_compiling():
        return folded.forward(images)
    return type(backbone).forward(backbone, images)


def _trained(norm: nn.BatchNorm2d) -> bool:
    return any(parameter.requires_grad for parameter in norm.parameters())


class _ConvNorm(torch.autograd.Function):
    """relu(norm(conv(x)) + other), where the norm is an affine function that is not trained."""

    @staticmethod
    def forward(ctx, x, other, weight, conv, norm, relu):
        out = norm(conv(x))
        ctx.dtype = out.dtype  # of the convolution, which autocast may have chosen
        out = _finish(out, other, relu)
        ctx.save_for_backward(x, weight, _scale(norm), out if relu else None)
        ctx.conv, ctx.other = conv, None if other is None else other.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, scale, out = ctx.saved_tensors
        needs_x, needs_other, needs_weight, *_ = ctx.needs_input_grad
        if out is not None:
            grad = torch.ops.aten.threshold_backward(grad, out, 0)
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad.to(ctx.dtype), x.to(ctx.dtype), (weight * scale).to(ctx.dtype), None,
            ctx.conv.stride, ctx.conv.padding, ctx.conv.dilation, False, (0, 0), ctx.conv.groups,
            (needs_x, needs_weight, False))
        return (grad_x.to(x.dtype) if needs_x else None,
                grad.sum_to_size(ctx.other) if needs_other else None,
                grad_weight.to(weight.dtype).mul_(scale) if needs_weight else None,
                None, None, None)


def _scale(norm: nn.BatchNorm2d) -> Tensor:
    """(D, 1, 1, 1) for D channels."""
    scale = torch.rsqrt(norm.running_var + norm.eps)
    return (scale * norm.weight if norm.affine else scale).view(-1, 1, 1, 1)


def _finish(x: Tensor, other: Tensor | None, relu: bool) -> Tensor:
    """x + other, then ReLU; ``x`` is overwritten."""
    if other is not None:
        x = x.add_(other) if x.dtype == other.dtype else x + other
    return F.relu_(x) if relu else x


class _Step(nn.Module):
    """Convolution, norm, sum and ReLU, the latter two if they are there.

    Args:
        conv: The convolution.
        norm: Its norm.
        relu: Whether there is a ReLU at the end.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, relu: bool) -> None:
        super().__init__()
        self.parts = (conv, norm)  # in a tuple: they belong to the backbone
        self.relu = relu

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """(B, C, H, W) and the other summand (B, D, H', W') -> (B, D, H', W')."""
        conv, norm = self.parts
        if norm.training or _trained(norm):
            return _finish(norm(conv(x)), other, self.relu)
        return _ConvNorm.apply(x, other, conv.weight, conv, norm, self.relu)


def _fold(graph: fx.GraphModule) -> int:
    """Make steps, in place.

    Returns:
        How many there are.
    """
    modules = dict(graph.named_modules())
    steps = 0
    for node in list(graph.graph.nodes):
        if _foldable(modules, node):
            _replace(graph, modules, node, f'conv_norm{steps}')
            steps += 1
    graph.graph.lint()
    graph.recompile()
    return steps


def _foldable(modules: dict[str, nn.Module], node: fx.Node) -> bool:
    """Whether the node is a norm after a convolution."""
    norm = _module(modules, node)
    if type(norm) not in _NORMS or not norm.track_running_stats:
        return False
    before = node.args[0]
    conv = _module(modules, before)
    return (type(conv) is nn.Conv2d and conv.bias is None and conv.padding_mode == 'zeros'
            and isinstance(conv.padding, tuple) and len(before.args) == len(before.users) == 1)


def _replace(graph: fx.GraphModule, modules: dict[str, nn.Module], node: fx.Node,
             name: str) -> None:
    """Put one call in the place of convolution, norm and what follows."""
    chain = [node.args[0], node]
    inputs = node.args[0].args
    follower = _only_user(node)
    other = _summand(follower, node)
    if other is not None:
        chain.append(follower)
        inputs = (*inputs, other)
        follower = _only_user(follower)
    relu = type(_module(modules, follower)) is nn.ReLU
    if relu:
        chain.append(follower)
    conv, norm = (_module(modules, each) for each in chain[:2])
    graph.add_module(name, _Step(conv, norm, relu))
    with graph.graph.inserting_before(chain[-1]):
        call = graph.graph.call_module(name, inputs)
    chain[-1].replace_all_uses_with(call)
    for each in reversed(chain):
        graph.graph.erase_node(each)


def _module(modules: dict[str, nn.Module], node: object) -> nn.Module | None:
    called = isinstance(node, fx.Node) and node.op == 'call_module'
    return modules.get(node.target) if called else None


def _summand(node: fx.Node | None, first: fx.Node) -> fx.Node | None:
    """What ``node`` adds to ``first``, if it does."""
    if node is None or node.target not in _ADDS or len(node.args) != 2 or node.args[0] is not first:
        return None
    return node.args[1] if isinstance(node.args[1], fx.Node) else None


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None
