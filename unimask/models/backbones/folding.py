"""Frozen batch norms folded into their convolutions."""

from __future__ import annotations

from mmengine.model.efficient_conv_bn_eval import turn_on_efficient_conv_bn_eval_for_single_model
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm


def fold_frozen_norms(backbone: nn.Module) -> bool:
    """Let each convolution apply the frozen batch norm that follows it.

    The weights are scaled on the fly: same results up to rounding, same parameters and
    gradients, but the convolution's output is not kept for the backward pass (MMEngine's
    ``efficient_conv_bn_eval``; Wang et al., "Efficient ConvBN blocks", 2023).

    Returns:
        Whether it was done: there are frozen norms and the backbone can be traced.
    """
    frozen = [m for m in backbone.modules() if isinstance(m, _BatchNorm) and not any(
        parameter.requires_grad for parameter in m.parameters())]
    if not frozen:
        return False
    try:
        turn_on_efficient_conv_bn_eval_for_single_model(backbone)
    except (fx.proxy.TraceError, TypeError, NotImplementedError):
        return False  # its forward depends on the input's values
    return True
