"""NumPy arrays in pickles (detectron2's ``.pkl`` files, and some files of ``torch.save``).

NumPy rebuilds an array by giving raw states to its own C code, which a made-up file can mislead.
Here the parts of an array are taken as plain values, and the array is made of them with checks.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

__all__ = ['ForbiddenError', 'array_globals', 'read_arrays', 'with_arrays']

_NUMBERS = re.compile(r'[biufcSU]\d+')  # kind and size, as NumPy writes them in a pickle


class ForbiddenError(pickle.UnpicklingError):
    """A pickle that wants more than arrays."""


def read_arrays(path: Path, *, trust: bool) -> Any:
    """The content of a pickle file: numpy arrays in plain containers.

    Args:
        path: The file.
        trust: Allow everything else too, which can run code from the file.

    Raises:
        ForbiddenError: The file wants more, and is not trusted.
    """
    with path.open('rb') as file:
        if trust:
            return pickle.load(file, encoding='latin1')
        return with_arrays(_ArrayUnpickler(file).load())


class _Type:
    """An element type that is being read."""

    def __init__(self, name: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(name, str) or not _NUMBERS.fullmatch(name):
            raise ForbiddenError(f'it asks for an array of {name!r}')
        self.name, self.order = name, '='

    def __setstate__(self, state: tuple) -> None:
        self.order = {'<': '<', '>': '>', '|': '|'}[state[1]]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.name)


class _Array:
    """An array that is being read; its state is version, shape, type, column order, bytes."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, by_columns, content = state
        self.value = _array(content, kind, shape, 'F' if by_columns else 'C')


def _array(content: bytes | str, kind: _Type, shape: tuple, order: str) -> np.ndarray:
    if isinstance(content, str):  # files of Python 2 hold bytes as text
        content = content.encode('latin1')
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order).copy(order)


def _empty(subtype: type, shape: tuple, typecode: bytes) -> _Array:
    return _Array()


def _scalar(kind: _Type, content: bytes | str) -> np.generic:
    return _array(content, kind, (1,), 'C')[0]


def _encode(text: str, encoding: str) -> bytes:
    """Bytes in pickles of protocol 2, which are always written in this encoding."""
    if encoding != 'latin1':
        raise ForbiddenError(f'it holds bytes encoded as {encoding}')
    return text.encode('latin1')


def _no_bytes() -> bytes:
    """The bytes of an empty array, in pickles of protocol 2."""
    return b''


def array_globals() -> dict[str, Callable]:
    """What stands in for NumPy's names in a pickle, by these names."""
    found: dict[str, Callable] = {'numpy.ndarray': _Array, 'numpy.dtype': _Type,
                                  '__builtin__.bytes': _no_bytes, 'builtins.bytes': _no_bytes}
    for core in ('numpy.core', 'numpy._core'):
        found |= {f'{core}.multiarray._reconstruct': _empty, f'{core}.multiarray.scalar': _scalar,
                  f'{core}.numeric._frombuffer': _array}
    return found


def with_arrays(content: Any) -> Any:
    """What was read, with its arrays in the place of their parts. Containers are changed."""
    waiting, seen = [content], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen or not isinstance(node, (dict, list)):
            continue
        seen.add(id(node))
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            node[key] = _finished(value)
            waiting.append(node[key])
    return _finished(content)


def _finished(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, tuple) and any(isinstance(item, (_Array, tuple)) for item in value):
        return tuple(_finished(item) for item in value)
    return value


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler for numpy arrays in plain containers; everything else is refused."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding='latin1')
        self._known = {**array_globals(), '_codecs.encode': _encode,
                       'collections.OrderedDict': OrderedDict}

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a global name of the pickle.

        Raises:
            ForbiddenError: The name is not needed for arrays.
        """
        if f'{module}.{name}' not in self._known:
            raise ForbiddenError(f'it asks for {module}.{name}')
        return self._known[f'{module}.{name}']
