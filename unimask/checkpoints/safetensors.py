"""Files of ``safetensors``: tensors, and a description as text that no reader executes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from unimask.checkpoints.plain import to_plain
from unimask.checkpoints.writing import atomic_write_bytes
from unimask.errors import UserError

__all__ = ['atomic_safetensors_save', 'read_safetensors', 'read_shards']

_KEY = 'unimask'  # of the description in a file's metadata, JSON
INDICES = ('model.safetensors.index.json', 'pytorch_model.bin.index.json')


def read_safetensors(path: Path) -> dict[str, Any]:
    """Tensors by name; where unimask wrote the file, below ``state_dict`` with ``meta`` beside.

    Raises:
        UserError: The package ``safetensors`` is missing.
    """
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise UserError(f'reading {path} needs a package: pip install safetensors') from error
    with safe_open(path, framework='pt') as file:
        description = (file.metadata() or {}).get(_KEY)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if description is None:
        return tensors
    return dict(state_dict=tensors, meta=json.loads(description))


def atomic_safetensors_save(state_dict: Mapping[str, Tensor], path: str | Path, *,
                            meta: Mapping[str, Any] | None = None) -> None:
    """Write a file so that under its name there is ever only a complete one.

    Args:
        state_dict: The weights.
        path: The file.
        meta: What a checkpoint has under ``meta``; only texts, numbers, lists and dictionaries.

    Raises:
        OSError: The file cannot be written.
    """
    from safetensors.torch import save
    # A copy each: several names may share memory, which the format does not know.
    tensors = {name: tensor.detach().cpu().clone().contiguous()
               for name, tensor in state_dict.items()}
    description = {} if meta is None else {_KEY: json.dumps(to_plain(meta, where='meta'))}
    atomic_write_bytes(save(tensors, metadata={'format': 'pt', **description}), path)


def read_shards(folder: Path) -> dict[str, str] | None:
    """Name of the file in a folder that holds each tensor; None where weights are one file.

    Raises:
        UserError: The index is damaged or names a file that is not there.
    """
    index = next((folder / name for name in INDICES if (folder / name).is_file()), None)
    if index is None:
        return None
    try:
        places = json.loads(index.read_text())['weight_map']
        files = {name: Path(place).name for name, place in places.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{index} is no index of weights ({type(error).__name__}). Is the '
                        'download complete?') from error
    missing = sorted({file for file in files.values() if not (folder / file).is_file()})
    if missing:
        raise UserError(f'{index} names {missing[0]}, which is not in the folder '
                        f'({len(missing)} such files). Is the download complete?')
    return files
