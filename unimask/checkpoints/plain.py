"""Values without classes of their own, which a file can hold and give back without code."""

from __future__ import annotations

import logging
import os
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log

__all__ = ['to_plain']


def to_plain(value: Any, *, where: str = 'checkpoint') -> Any:
    """Copy a nested value with tensors on the CPU and nothing but plain Python types.

    A checkpoint made of these can be read without running code from the file.

    Args:
        value: Nested dicts, lists and tuples of tensors, arrays, numbers and strings.
        where: Name of the value, for the warning about a part that has no plain form and is
            therefore stored as text.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return _builtin(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return _plain_mapping(value, where)
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [to_plain(item, where=f'{where}[]') for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, (torch.dtype, torch.device, torch.Size)):
        return value
    if not isinstance(value, os.PathLike):
        print_log(f'{where} is a {type(value).__name__}; the checkpoint keeps it as text',
                  logger='current', level=logging.WARNING)
    return str(value)


def _builtin(value: Any) -> Any:
    """The value itself, freed from subclasses of the builtin types (enums, NumPy's float64)."""
    for kind in (bool, int, float, complex, str, bytes):
        if isinstance(value, kind):
            return value if type(value) is kind else kind(value)
    return value


def _plain_mapping(value: Mapping, where: str) -> dict:
    items = ((_builtin(key), to_plain(item, where=f'{where}.{key}'))
             for key, item in value.items())
    if isinstance(value, Counter):
        return Counter(dict(items))
    if not isinstance(value, OrderedDict):
        return dict(items)
    plain = OrderedDict(items)
    if hasattr(value, '_metadata'):
        plain._metadata = value._metadata
    return plain
