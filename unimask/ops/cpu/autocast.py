"""bfloat16 on the CPU: whether it pays, and what is better left in float32.

Shapes: B batch, C and D channels.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from unimask.ops.cpu import wanted

__all__ = ['has_fast_bfloat16', 'keep_depthwise_float32', 'slow_in_training']


def has_fast_bfloat16() -> bool:
    """Whether the processor multiplies matrices of bfloat16 (AMX)."""
    capabilities = getattr(torch.cpu, 'get_capabilities', dict)()
    return bool(capabilities.get('amx_bf16'))


def slow_in_training(x: Tensor, *parameters: Tensor) -> bool:
    """Whether gradients are wanted under autocast on the CPU, where some take long."""
    return (x.device.type == 'cpu' and torch.is_autocast_enabled('cpu') and wanted()
            and torch.is_grad_enabled()
            and any(each.requires_grad for each in (x, *parameters)))


def keep_depthwise_float32(model: nn.Module) -> None:
    """Let depthwise convolutions compute in float32 in trainings under autocast on the CPU.

    oneDNN has matrix instructions for dense convolutions in bfloat16 and none for the gradients
    of depthwise ones, which take up to fifteen times as long as in float32 (torch 2.12). Names and
    values of parameters, inference and other devices stay as they are. A second call changes
    nothing.
    """
    for module in model.modules():
        depthwise = isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels
        if depthwise and 'forward' not in vars(module):
            # The module is an argument of a partial: a copy of the model refers to its own.
            module.forward = partial(_convolve, module)


def _convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, D, H', W')."""
    plain = type(conv).forward
    if not slow_in_training(x, conv.weight):
        return plain(conv, x)
    with torch.autocast('cpu', enabled=False):
        return plain(conv, x.float())
