"""Frozen batch norms folded into their convolutions."""

from __future__ import annotations

from functools import partial

from mmengine.model.efficient_conv_bn_eval import efficient_conv_bn_eval_graph_transform
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm


def fold_frozen_norms(backbone: nn.Module) -> bool:
    """Let each convolution apply the frozen batch norm that follows it, in training.

    The weights are scaled on the fly: same results up to rounding, same parameters and
    gradients, but the convolution's output is not kept for the backward pass (MMEngine's
    ``efficient_conv_bn_eval``; You et al., "Efficient ConvBN
    Blocks for Transfer Learning and Beyond", 2023). There is nothing to
    keep in evaluation, which stays as it is to the last bit.

    Returns:
        Whether it was done: there are frozen norms and the backbone can be traced.
    """
    frozen = [m for m in backbone.modules() if isinstance(m, _BatchNorm) and not any(
        parameter.requires_grad for parameter in m.parameters())]
    if not frozen:
        return False
    try:
        folded = fx.symbolic_trace(backbone)
    except (fx.proxy.TraceError, TypeError, NotImplementedError):
        return False  # its forward depends on the input's values
    efficient_conv_bn_eval_graph_transform(folded)
    # Both are arguments of a partial, so that a copy of the backbone refers to its own parts.
    backbone.forward = partial(_forward, backbone, folded)
    return True


def _forward(backbone: nn.Module, folded: fx.GraphModule, images: Tensor) -> tuple[Tensor, ...]:
    if backbone.training:
        return folded.forward(images)
    return type(backbone).forward(backbone, images)
