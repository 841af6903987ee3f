"""Mixed precision that CPUs have too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn

from unimask.ops.cpu.autocast import keep_depthwise_float32
from unimask.registry import OPTIM_WRAPPERS

__all__ = ['Bf16OptimWrapper']


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Autocasts to bfloat16 on the CPU or the GPU.

    Its range is that of float32, so no gradient is scaled. The options are those of MMEngine's
    ``OptimWrapper``.
    """

    _prepared: nn.Module | None = None

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass."""
        device = get_device()
        if device == 'cpu' and self._prepared is not model:
            keep_depthwise_float32(model)
            self._prepared = model
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
