"""Checkpoint files: reading without running code, writing atomically, finding."""
from __future__ import annotations

from unimask.checkpoints.checkpoint import (
    atomic_torch_save,
    atomic_write_text,
    check_exists,
    latest_checkpoint,
    read_checkpoint,
    to_plain,
)

__all__ = ['atomic_torch_save', 'atomic_write_text', 'check_exists', 'latest_checkpoint',
           'read_checkpoint', 'to_plain']
