"""Hooks of the training and test loops."""

from __future__ import annotations

from unimask.engine.hooks.checkpoint import CheckpointHook
from unimask.engine.hooks.ema import EMAHook
from unimask.engine.hooks.finite_loss import FiniteLossHook
from unimask.engine.hooks.interrupt import InterruptHook
from unimask.engine.hooks.layer_consistency import LayerConsistencyHook
from unimask.engine.hooks.picture import PictureHook
from unimask.engine.hooks.record import RecordHook
from unimask.engine.hooks.reproducible import ReproducibleHook
from unimask.engine.soundness import NonFiniteLossError
from unimask.errors import Interrupted

__all__ = ['CheckpointHook', 'EMAHook', 'FiniteLossHook', 'InterruptHook', 'Interrupted',
           'LayerConsistencyHook', 'NonFiniteLossError', 'PictureHook', 'RecordHook',
           'ReproducibleHook']
