"""Values that cost less to compute again than to keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


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


def in_pieces(function: Callable[[Tensor, int], Tensor], source: Tensor,
              pieces: Sequence[tuple], lengths: Sequence[int]) -> Tensor:
    """A function of pieces of a tensor, one piece at a time, forward and backward.

    What the function needs in between exists for one piece only: the backward pass calls it again.
    A single piece is not worth that. Autocast is off within it.

    Args:
        function: The piece and its number -> (length,) of the source's type, from the piece and
            from values that have no gradient or are leaves.
        source: Tensor with or without gradient.
        pieces: Index of every piece; pieces may overlap.
        lengths: Of the results.

    Returns:
        (sum of the lengths,), the results one behind the other.
    """
    if len(pieces) == 1:
        with torch.autocast(source.device.type, enabled=False):
            return function(source[pieces[0]], 0)
    return _InPieces.apply(function, source, pieces, lengths)


class _InPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function, source, pieces, lengths):
        ctx.function, ctx.pieces, ctx.lengths = function, pieces, lengths
        ctx.save_for_backward(source)
        # Made before everything else: results in between would leave holes in the freed memory.
        results = source.new_empty(sum(lengths))
        with torch.autocast(source.device.type, enabled=False):
            for number, result in enumerate(results.split(lengths)):
                result.copy_(function(source[pieces[number]], number))
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (source,) = ctx.saved_tensors
        total = torch.zeros_like(source)
        for number, wanted in enumerate(grad.split(ctx.lengths)):
            piece = ctx.pieces[number]
            part = source[piece].detach().requires_grad_()
            with torch.enable_grad(), torch.autocast(source.device.type, enabled=False):
                result = ctx.function(part, number)
            torch.autograd.backward(result, wanted)
            total[piece] += part.grad
        return None, total, None, None
