"""Mixed precision where the machine has it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import nn

from unimask.engine.errors import UserError
from unimask.registry import OPTIM_WRAPPERS

__all__ = ['Bf16OptimWrapper', 'choose_precision']


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Autocasts to bfloat16 on the CPU or the GPU.

    Its range is that of float32, so no gradient is scaled. The options are those of MMEngine's
    ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass."""
        with super().optim_context(model), torch.autocast(get_device(), torch.bfloat16):
            yield


def choose_precision(cfg: Config, amp: str | None = None) -> None:
    """Set the optimizer wrapper of a config for the wanted precision and this machine.

    Args:
        cfg: Config, changed in place.
        amp: ``fp16``, ``bf16``, ``off``, or None for what the config says. fp16 needs a GPU;
            without one training runs in float32, and a warning says so.
    """
    wrapper = cfg.get('optim_wrapper')
    if wrapper is None:
        if amp not in (None, 'off'):
            raise UserError('--amp: the config has no optim_wrapper, so it does not train')
        return
    amp = amp or _configured(wrapper)
    if amp == 'fp16' and not torch.cuda.is_available():
        print_log('fp16 needs a GPU and this machine has none: training runs in float32 '
                  '(--amp bf16 works on CPUs too)', logger='current',
                  level=logging.WARNING)
        amp = 'off'
    if amp == 'fp16':
        wrapper.type = 'AmpOptimWrapper'
        wrapper.dtype = 'float16'
        wrapper.setdefault('loss_scale', 'dynamic')
        return
    wrapper.type = {'off': 'OptimWrapper', 'bf16': 'Bf16OptimWrapper'}.get(amp, wrapper.type)
    if amp in ('off', 'bf16'):
        wrapper.pop('loss_scale', None)
        wrapper.pop('dtype', None)


def _configured(wrapper: dict) -> str | None:
    """The precision that an optimizer wrapper's config means; None for a wrapper of a user."""
    kind = wrapper.get('type', 'OptimWrapper')
    if kind == 'AmpOptimWrapper':
        return 'bf16' if wrapper.get('dtype') == 'bfloat16' else 'fp16'
    return {'OptimWrapper': 'off', 'Bf16OptimWrapper': 'bf16'}.get(kind)
