"""The run: runner, loops, hooks, optimisers, precision."""

from __future__ import annotations

from unimask.engine import optim
from unimask.engine.amp import Bf16OptimWrapper
from unimask.engine.hooks import (
    CheckpointHook,
    EMAHook,
    FiniteLossHook,
    Interrupted,
    InterruptHook,
    NonFiniteLossError,
    PictureHook,
    ReproducibleHook,
)
from unimask.engine.log_processor import LogProcessor, peak_memory_mb
from unimask.engine.loops import IterBasedTrainLoop
from unimask.engine.runner import Runner

__all__ = [
    'Bf16OptimWrapper', 'CheckpointHook', 'EMAHook', 'FiniteLossHook', 'InterruptHook',
    'Interrupted', 'IterBasedTrainLoop', 'LogProcessor', 'NonFiniteLossError', 'PictureHook',
    'ReproducibleHook', 'Runner', 'optim', 'peak_memory_mb',
]
