"""Training and testing: config preparation, runner, hooks, checkpoints, precision."""

from unimask.engine import optim
from unimask.engine.amp import Bf16OptimWrapper, choose_precision
from unimask.engine.config import apply_options, load_config, prepare_config
from unimask.engine.errors import UserError
from unimask.engine.hooks import (
    CheckpointHook,
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
from unimask.engine.tta import SemanticTTA, use_tta

__all__ = [
    'Bf16OptimWrapper', 'CheckpointHook', 'FiniteLossHook', 'InterruptHook', 'Interrupted',
    'IterBasedTrainLoop',
    'LogProcessor', 'NonFiniteLossError', 'PictureHook', 'ReproducibleHook', 'Runner',
    'SemanticTTA', 'UserError', 'apply_options', 'choose_precision', 'load_config', 'optim',
    'peak_memory_mb', 'prepare_config', 'use_tta',
]
