"""Mixed precision where the machine has it."""

from __future__ import annotations

import logging

import torch
from mmengine.config import Config
from mmengine.logging import print_log

from unimask.errors import UserError

__all__ = ['choose_precision']


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
