"""The one door for checkpoint files: read without running code, whoever wrote them."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unimask.checkpoints.arrays import (
    ForbiddenError,
    array_globals,
    read_arrays,
    with_arrays,
)
from unimask.checkpoints.fetching import fetch, is_url
from unimask.checkpoints.finding import check_exists
from unimask.checkpoints.safetensors import read_safetensors
from unimask.errors import UserError

__all__ = ['classes_of', 'is_trusted', 'read_checkpoint', 'read_weights', 'trusting', 'weights_of']

# Keys under which training programs put the model's state dict, the most telling ones first.
WRAPPERS = ('state_dict', 'model_state_dict', 'model', 'module', 'params_ema', 'params',
            'model_state', 'state_dict_ema', 'model_ema', 'ema_state_dict', 'network', 'net')
_PREFIXES = ('module.', '_orig_mod.')  # of DistributedDataParallel and torch.compile
_LEGACY_MAGIC = b'\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'  # files of torch.save before 1.6
_trusted: ContextVar[bool] = ContextVar('unimask_trusts_checkpoints', default=False)


@contextmanager
def trusting(trust: bool) -> Iterator[None]:
    """Whether files that components read by themselves, in this block, may run code.

    Args:
        trust: What the user said with ``--trust-checkpoint``.
    """
    token = _trusted.set(trust)
    try:
        yield
    finally:
        _trusted.reset(token)


def is_trusted() -> bool:
    """Whether a block of :func:`trusting` is entered."""
    return _trusted.get()


def read_checkpoint(path: str | Path, *, trust: bool = False, map_location: Any = 'cpu') -> dict:
    """Read a checkpoint without running code from the file.

    Args:
        path: A file of ``torch.save``, a ``.safetensors`` file, a pickle of arrays (detectron2);
            a folder with one (see :func:`~unimask.checkpoints.check_exists`); or a URL. What a
            file is is told by its content.
        trust: Unpickle arbitrary objects, which can run code from the file.
        map_location: Where the tensors of files of ``torch.save`` go, as in :func:`torch.load`.

    Returns:
        What the file holds; :func:`weights_of` takes the weights out of it.

    Raises:
        UserError: The file is missing, damaged, or needs to run code.
    """
    text = check_exists(path, role='checkpoint')
    file = fetch(text) if is_url(text) else Path(text)
    try:
        loaded = _read(file, trust=trust, map_location=map_location)
    except (UserError, ImportError):
        raise
    except Exception as error:  # a damaged file may fail anywhere in torch, numpy and pickle
        raise UserError(_message(file, error)) from error
    if not isinstance(loaded, dict):
        raise UserError(f'{file} holds a {type(loaded).__name__}, not a checkpoint.')
    return loaded


def read_weights(path: str | Path, *, trust: bool = False) -> dict[str, Tensor]:
    """The model's weights in a checkpoint file, by name, on the CPU.

    Args:
        path: As for :func:`read_checkpoint`.
        trust: Allow the file to run code while it is read.

    Raises:
        UserError: The file cannot be read or holds no weights.
    """
    return weights_of(read_checkpoint(path, trust=trust), path=path)


def _read(file: Path, *, trust: bool, map_location: Any) -> Any:
    with file.open('rb') as stream:
        head = stream.read(64)
    if head.startswith(b'PK\x03\x04') or _LEGACY_MAGIC in head:
        return _read_torch(file, trust=trust, map_location=map_location)
    if file.suffix == '.safetensors' or head[8:9] == b'{':
        return read_safetensors(file)
    if head.startswith(b'\x80') or file.suffix == '.pkl':
        return read_arrays(file, trust=trust)
    raise UserError(f'the checkpoint {file} cannot be read: it is neither a file of torch.save, '
                    'nor of safetensors, nor a pickle. Is the download complete?')


def _read_torch(file: Path, *, trust: bool, map_location: Any) -> Any:
    if trust:
        return torch.load(file, map_location=map_location, weights_only=False)
    stand_ins = [(function, name) for name, function in array_globals().items()]
    with torch.serialization.safe_globals(stand_ins):
        return with_arrays(torch.load(file, map_location=map_location, weights_only=True))


def _message(file: Path, error: Exception) -> str:
    wanted = _wanted_code(error)
    if wanted:
        return (f'the checkpoint {file} holds more than tensors, reading it could execute code '
                f'({wanted}), and it was therefore not read. If you trust where it came from, '
                'add --trust-checkpoint (converter: --trust-source; Python: trust=True).')
    if isinstance(error, OSError) and error.strerror:
        return f'the checkpoint {file} cannot be read ({error.strerror}).'
    return (f'the checkpoint {file} cannot be read, the file is incomplete or damaged '
            f'({_reason(error)}). Take an earlier checkpoint or copy the file again.')


def _wanted_code(error: Exception) -> str:
    """What a refused file asks for; empty when it was not refused for that."""
    if isinstance(error, ForbiddenError):
        return str(error)
    text = str(error)
    if 'TorchScript' in text:
        return 'it is a TorchScript program'
    if not isinstance(error, pickle.UnpicklingError) or not re.search(
            'Unsupported|GLOBAL|Trying to|Only persistent_load', text):
        return ''
    found = re.search(r'(?:GLOBAL|class|operand|call) ([\w.]+)', text)
    return f'it asks for {found[1]}' if found else 'it asks for more than torch knows as safe'


def _reason(error: Exception) -> str:
    """The first line of an error, without torch's advice to run code from the file."""
    lines = [line.strip() for line in str(error).splitlines()]
    useful = [line for line in lines if line and 'weights_only' not in line
              and 'weights-only' not in line.lower()]
    return f'{type(error).__name__}: {useful[0][:200]}' if useful else type(error).__name__


def weights_of(loaded: Mapping[str, Any], *, path: str | Path = 'the checkpoint'
               ) -> dict[str, Tensor]:
    """The model's weights in what a checkpoint file holds.

    Args:
        loaded: What :func:`read_checkpoint` returned: weights by name, alone or under a key such
            as ``state_dict`` or ``model``. Arrays become tensors; a prefix ``module.`` that all
            names have goes.
        path: Where it came from, for messages.

    Raises:
        UserError: It holds no weights, or something else among them.
    """
    state = _unwrapped(loaded)
    if not isinstance(state, Mapping) or not state:
        what = 'nothing' if isinstance(state, Mapping) else f'a {type(state).__name__}'
        raise UserError(f'{path} holds no weights, but {what}. Keys that were looked for: '
                        f'{", ".join(WRAPPERS)}.')
    strange = [name for name in state if not isinstance(name, str)]
    tensors = {name: _tensor(value) for name, value in state.items()}
    strange += [name for name, value in tensors.items() if value is None]
    if strange:
        raise UserError(
            f'{path} holds no plain weights by name: {", ".join(map(repr, strange[:3]))} '
            f'{"are" if len(strange) > 1 else "is"} none. Keys that were looked for: '
            f'{", ".join(WRAPPERS)}.')
    return _without_prefixes(tensors)


def _unwrapped(content: Any) -> Any:
    seen: set[int] = set()
    while isinstance(content, Mapping) and id(content) not in seen:
        seen.add(id(content))
        inside = [content[key] for key in WRAPPERS if key in content
                  and not isinstance(content[key], (Tensor, np.ndarray))]
        if not inside:
            return content
        content = next((each for each in inside if isinstance(each, Mapping)), inside[0])
    return None if isinstance(content, Mapping) else content  # one that holds itself: nothing


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES * 2:  # either may be wrapped around the other
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _tensor(value: Any) -> Tensor | None:
    """A dense tensor with data; None for anything else."""
    if isinstance(value, (np.ndarray, np.generic)):
        try:
            value = torch.from_numpy(np.array(value))
        except (TypeError, ValueError):  # no numbers
            return None
    plain = isinstance(value, Tensor) and not (
        value.is_meta or value.is_quantized or value.is_nested or value.layout != torch.strided)
    return value.detach() if plain else None


def classes_of(loaded: Mapping[str, Any], *, path: str | Path = 'the checkpoint') -> dict | None:
    """Names and colours of the classes that a checkpoint was trained with; None if it says none.

    Returns:
        ``classes`` and what comes with them (``thing_classes``, ``palette``).

    Raises:
        UserError: What stands there is no list of names.
    """
    meta = loaded.get('meta')
    described = meta.get('dataset_meta') if isinstance(meta, Mapping) else None
    if not isinstance(described, Mapping) or described.get('classes') is None:
        return None
    classes = described['classes']
    if not isinstance(classes, (list, tuple)) or not all(
            isinstance(name, str) for name in classes):
        raise UserError(f'{path}: meta.dataset_meta.classes is no list of names. The file is '
                        'damaged, or another program wrote it.')
    return dict(described) if classes else None
