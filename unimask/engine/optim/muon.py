"""Muon for every processor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from timm.optim import muon as timm_muon

__all__ = ['Muon']


class Muon(timm_muon.Muon):
    """timm's Muon, in float32 where the weights are on the CPU.

    Matrices are updated by their orthogonalised momentum (https://kellerjordan.github.io/posts/muon/),
    everything else by AdamW. timm orthogonalises in bf16, for which a processor without such
    instructions takes up to twenty times as long as for float32. Arguments, states and checkpoints
    are those of ``timm.optim.Muon``.
    """

    def step(self, closure: Callable | None = None) -> object:
        """Update the weights.

        Args:
            closure: Computes the loss anew; None as a rule.

        Returns:
            What the closure returns; None without one.
        """
        on_cpu = all(weight.device.type == 'cpu' for group in self.param_groups
                     for weight in group['params'])
        with _float32() if on_cpu else nullcontext():
            return super().step(closure)


@contextmanager
def _float32() -> Iterator[None]:
    # timm has no option for it.
    original = timm_muon.zeropower_via_newtonschulz
    timm_muon.zeropower_via_newtonschulz = partial(original, dtype=torch.float32)
    try:
        yield
    finally:
        timm_muon.zeropower_via_newtonschulz = original
