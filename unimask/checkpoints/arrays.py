"""Pickles of arrays (detectron2's ``.pkl`` files), read without running code from them."""
from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

__all__ = ['ForbiddenError', 'read_arrays', 'rebuild_functions']

_MODULES = ('numpy.core.multiarray', 'numpy._core.multiarray', 'numpy.core.numeric',
            'numpy._core.numeric')


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
        return _ArrayUnpickler(file).load()


def rebuild_functions() -> dict[str, Any]:
    """NumPy's own functions that make arrays and numbers of a pickle, by name."""
    core = getattr(np, '_core', None) or np.core
    return {'_reconstruct': core.multiarray._reconstruct, 'scalar': core.multiarray.scalar,
            '_frombuffer': core.numeric._frombuffer}


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler for numpy arrays in plain containers; everything else is refused."""

    ALLOWED = {
        ('collections', 'OrderedDict'): OrderedDict,
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
    }

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding='latin1')  # files of Python 2 hold bytes as text
        self._functions = rebuild_functions()

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a global name of the pickle.

        Raises:
            ForbiddenError: The name is not needed for arrays.
        """
        if module in _MODULES and name in self._functions:
            return self._functions[name]
        if (module, name) == ('_codecs', 'encode'):
            return _encode
        if (module, name) not in self.ALLOWED:
            raise ForbiddenError(f'it asks for {module}.{name}')
        return self.ALLOWED[module, name]


def _encode(text: str, encoding: str) -> bytes:
    """Bytes in pickles of protocol 2, which are always written in this encoding."""
    if encoding != 'latin1':
        raise ForbiddenError(f'it holds bytes encoded as {encoding}')
    return text.encode('latin1')
