"""Values that cost less to compute again than to keep."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def recomputed(value: Tensor, make: Callable[[], Tensor]) -> AbstractContextManager:
    """Within it, autograd keeps ``make`` in the place of ``value``.

    Each operator that needs ``value`` in the backward pass calls ``make`` once. Under autocast,
    while torch compiles, and where no gradient is asked for, nothing is changed.

    Args:
        value: What the operators within use.
        make: Computes it again, from tensors that are kept anyway.
    """
    plain = type(value) is Tensor and not value.is_meta
    if (not (plain and value.requires_grad and torch.is_grad_enabled())
            or torch.is_autocast_enabled(value.device.type) or torch.compiler.is_compiling()):
        return nullcontext()
    address, count = value.data_ptr(), value.numel()

    def pack(tensor: Tensor) -> Tensor | torch.Size:
        same = tensor.data_ptr() == address and tensor.numel() == count and tensor.is_contiguous()
        return tensor.shape if same else tensor

    def unpack(kept: Tensor | torch.Size) -> Tensor:
        return kept if isinstance(kept, Tensor) else make().view(kept)

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)
