"""Weights that are no numbers are found before they are written under a good name."""

from __future__ import annotations

import torch
from torch import nn

from unimask.errors import UserError

__all__ = ['NonFiniteLossError', 'all_finite', 'spoiled_weights']


class NonFiniteLossError(UserError):
    """A loss, a gradient or a weight became infinite or not a number."""


def all_finite(tensors: list[torch.Tensor]) -> bool:
    """Whether every value of some tensors is a number; one wait for the device."""
    with torch.no_grad():
        largest = [tensor.detach().abs().max().float() for tensor in tensors if tensor.numel()]
        return not largest or bool(torch.stack(largest).isfinite().all())


def spoiled_weights(model: nn.Module) -> list[str]:
    """Names of parameters and running statistics with infinite values or NaN."""
    named = [*model.named_parameters(),
             *((name, value) for name, value in model.named_buffers()
               if name.rpartition('.')[2].startswith('running_'))]
    found = [(name, value) for name, value in named if value.is_floating_point()]
    if all_finite([value for _, value in found]):
        return []
    return [name for name, value in found if not bool(value.isfinite().all())]
