"""Hooks of the training and test loops."""
from __future__ import annotations

from unimask.engine.hooks.checkpoint import CheckpointHook
from unimask.engine.hooks.finite_loss import FiniteLossHook, NonFiniteLossError
from unimask.engine.hooks.interrupt import Interrupted, InterruptHook
from unimask.engine.hooks.picture import PictureHook
from unimask.engine.hooks.reproducible import ReproducibleHook

__all__ = ['CheckpointHook', 'FiniteLossHook', 'InterruptHook', 'Interrupted',
           'NonFiniteLossError', 'PictureHook', 'ReproducibleHook']
