"""Read checkpoint files without executing code that is in them."""
from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

__all__ = ['load_file']

# Keys under which training programs put the model's state dict.
WRAPPERS = ('state_dict', 'model', 'module', 'model_state', 'state_dict_ema', 'model_ema')
TRUST = 'If you trust its author, add --trust-source (Python: trust_source=True)'


def load_file(path: str | Path, trust_source: bool = False) -> dict[str, Tensor]:
    """Read the model's state dict from a checkpoint file.

    Args:
        path: A ``.safetensors`` file, a ``.pkl`` file of detectron2 (numpy arrays), or a file of
            ``torch.save`` under any other name.
        trust_source: Allow the file to execute code while it is read. Off, files can hold
            tensors, arrays and plain containers.

    Returns:
        Tensors by name, on the CPU, taken out of wrappers such as ``model``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or holds no state dict; says what to do.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint file not found: {path}')
    reader = {'.safetensors': _read_safetensors, '.pkl': _read_pickle}.get(
        path.suffix, _read_torch)
    return _state_dict(reader(path, trust_source), path)


def _read_safetensors(path: Path, trust_source: bool) -> Any:
    try:
        from safetensors.torch import load_file as load
    except ImportError as error:
        raise ImportError(f'reading {path} needs: pip install safetensors') from error
    try:
        return load(path)
    except Exception as error:  # the package raises an exception type of its own
        raise ValueError(f'{path} is not a readable safetensors file ({error}). '
                         'Is the download complete?') from error


def _read_torch(path: Path, trust_source: bool) -> Any:
    try:
        return torch.load(path, map_location='cpu', weights_only=not trust_source)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'{path} holds more than tensors, and reading it could execute code. {TRUST}'
            if 'weights_only' in str(error) else _damaged(path, error)) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ValueError(_damaged(path, error)) from error


def _read_pickle(path: Path, trust_source: bool) -> Any:
    with path.open('rb') as file:
        try:
            if trust_source:
                return pickle.load(file, encoding='latin1')
            return ArrayUnpickler(file).load()
        except ForbiddenError as error:
            raise ValueError(f'{path}: {error}. {TRUST}') from error
        except Exception as error:  # a damaged pickle may fail anywhere
            raise ValueError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception) -> str:
    first = str(error).split('\n', maxsplit=1)[0]
    return (f'{path} is not a readable checkpoint ({type(error).__name__}: {first}). '
            'Is the download complete?')


class ForbiddenError(pickle.UnpicklingError):
    """A pickle that wants more than arrays."""


class ArrayUnpickler(pickle.Unpickler):
    """Unpickler for numpy arrays in plain containers; everything else is refused."""

    ALLOWED = {
        ('collections', 'OrderedDict'): OrderedDict,
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
    }
    NUMPY_MODULES = ('numpy.core.multiarray', 'numpy._core.multiarray')

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding='latin1')  # files of Python 2 hold bytes as text

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a global name of the pickle.

        Raises:
            ForbiddenError: If the name is not needed for arrays.
        """
        if module in self.NUMPY_MODULES and name in ('_reconstruct', 'scalar'):
            return getattr(np._core.multiarray if hasattr(np, '_core')
                           else np.core.multiarray, name)
        if (module, name) == ('_codecs', 'encode'):
            return _encode
        if (module, name) not in self.ALLOWED:
            raise ForbiddenError(f'it wants to run {module}.{name} while being read')
        return self.ALLOWED[module, name]


def _encode(text: str, encoding: str) -> bytes:
    """Bytes in pickles of protocol 2, which are always written in this encoding."""
    if encoding != 'latin1':
        raise ForbiddenError(f'it holds bytes encoded as {encoding}')
    return text.encode('latin1')


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            return _state_dict(content[key], path)
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f'{path} holds no state dict, but {type(content).__name__}')
    tensors = {str(name).removeprefix('module.'): _tensor(value)
               for name, value in content.items()}
    strange = [name for name, value in tensors.items() if value is None]
    if strange:
        raise ValueError(f'{path} holds no plain state dict: {", ".join(strange[:3])} are no '
                         f'tensors. Keys that were looked for: {", ".join(WRAPPERS)}')
    return tensors


def _tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype != object:
        return torch.from_numpy(np.array(value))
    return None
