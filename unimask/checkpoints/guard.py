"""MMEngine's loader made to read through the one door.

Components of mmdet and mmseg load weights by themselves, through MMEngine's ``CheckpointLoader``,
whose readers run code from files that cannot be read without. :func:`guard_loading` puts this
package's reader in the place of every one of them, so that no way of naming weights gets past it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmengine.runner import (
    CheckpointLoader,
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)

from unimask.checkpoints.reading import is_trusted, read_checkpoint, weights_of
from unimask.errors import UserError, did_you_mean

__all__ = ['guard_loading']


def guard_loading() -> None:
    """Let MMEngine read weights through :func:`unimask.checkpoints.read_checkpoint` alone."""
    ours = {
        '': load_from_file, 'http://': load_from_file, 'https://': load_from_file,
        'torchvision://': load_from_torchvision, 'modelzoo://': load_from_torchvision,
        'open-mmlab://': load_from_openmmlab, 'openmmlab://': load_from_openmmlab,
        'mmcls://': load_from_mmcls,
    }
    for prefix in {*CheckpointLoader._schemes, *ours}:
        CheckpointLoader.register_scheme(prefix, ours.get(prefix, load_from_elsewhere), force=True)


def load_from_file(filename: str, map_location: Any = None) -> dict:
    """Read a path or URL: everything in the file, and its weights under ``state_dict``."""
    loaded = read_checkpoint(filename, trust=is_trusted(), map_location=map_location or 'cpu')
    weights = weights_of(loaded, path=filename)
    beside = {name: value for name, value in loaded.items()
              if not isinstance(value, (torch.Tensor, np.ndarray))}
    return dict(beside, state_dict=weights)


def load_from_torchvision(filename: str, map_location: Any = None) -> dict:
    """Read one of torchvision's files by the name of its model."""
    return load_from_file(_url(filename, get_torchvision_models), map_location)


def load_from_openmmlab(filename: str, map_location: Any = None) -> dict:
    """Read one of OpenMMLab's files by its name."""
    name = filename.split('://', 1)[1]
    renamed = get_deprecated_model_names().get(name, name)
    return load_from_file(_url(f'open-mmlab://{renamed}', get_external_models), map_location)


def load_from_mmcls(filename: str, map_location: Any = None) -> dict:
    """Read the backbone of one of OpenMMLab's classifiers by the name of its model."""
    loaded = load_from_file(_url(filename, get_mmcls_models), map_location)
    return dict(state_dict={
        name.removeprefix('backbone.'): value for name, value in loaded['state_dict'].items()
        if name.startswith('backbone.')})


def load_from_elsewhere(filename: str, map_location: Any = None) -> dict:
    """Refuse a storage system whose files cannot be had as files."""
    raise UserError(f'weights cannot be read from {filename}. Copy the file to this machine and '
                    'give its path.')


def _url(filename: str, known: Callable[[], dict[str, str]]) -> str:
    scheme, name = filename.split('://', 1)
    urls = known()
    if name not in urls:
        raise UserError(f'there are no weights {filename}.{did_you_mean(name, urls)}')
    return urls[name]
