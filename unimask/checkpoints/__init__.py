"""Checkpoint files: one door for reading, writing, finding and fetching them."""

from __future__ import annotations

from unimask.checkpoints.fetching import fetch
from unimask.checkpoints.finding import (
    best_checkpoint,
    check_exists,
    checkpoints_of,
    latest_checkpoint,
)
from unimask.checkpoints.plain import to_plain
from unimask.checkpoints.reading import (
    classes_of,
    is_trusted,
    read_checkpoint,
    read_weights,
    trusting,
    weights_of,
)
from unimask.checkpoints.safetensors import atomic_safetensors_save, read_shards
from unimask.checkpoints.writing import (
    atomic_file,
    atomic_folder,
    atomic_torch_save,
    atomic_write_bytes,
    atomic_write_text,
    remove_parts,
)

__all__ = [
    'atomic_file', 'atomic_folder', 'atomic_safetensors_save', 'atomic_torch_save',
    'atomic_write_bytes', 'atomic_write_text', 'best_checkpoint', 'check_exists',
    'checkpoints_of', 'classes_of', 'fetch', 'is_trusted', 'latest_checkpoint', 'read_checkpoint',
    'read_shards', 'read_weights', 'remove_parts', 'to_plain', 'trusting', 'weights_of',
]
