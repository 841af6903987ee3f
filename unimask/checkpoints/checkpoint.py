"""Checkpoint files: plain values only, written atomically, read without running code."""
from __future__ import annotations

import logging
import os
import pickle
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log

from unimask.errors import UserError, did_you_mean

__all__ = ['atomic_torch_save', 'atomic_write_text', 'check_exists', 'latest_checkpoint',
           'read_checkpoint', 'to_plain']

# NumPy's own array reconstruction; foreign checkpoints hold arrays and NumPy scalars in them.
_NUMPY = [np.ndarray, np.dtype, *(type(np.dtype(kind)) for kind in (
    'bool', 'uint8', 'int32', 'uint32', 'int64', 'float32', 'float64'))]


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


def atomic_torch_save(value: Any, path: str | Path) -> None:
    """Write a file so that under its name there is ever only a complete one.

    It is written beside its destination, synced to the disk and then renamed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix='.part')
    try:
        with os.fdopen(handle, 'wb') as file:
            torch.save(value, file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def atomic_write_text(text: str, path: str | Path) -> None:
    """Write a small text file so that under its name there is ever only a complete one."""
    path = Path(path)
    part = path.with_name(f'.{path.name}.part')
    with part.open('w') as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems cannot sync a folder
        pass
    finally:
        os.close(handle)


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """Path of the newest checkpoint of a run, None when it has none."""
    marker = Path(work_dir) / 'last_checkpoint'
    if marker.is_file():
        noted = Path(marker.read_text().strip())
        for path in (noted, Path(work_dir) / noted.name):  # the folder may have been moved
            if path.is_file():
                return str(path)
    found = [path for kind in ('iter', 'epoch')
             for path in Path(work_dir).glob(f'{kind}_*.pth')]
    return str(max(found, key=lambda path: path.stat().st_mtime)) if found else None


def check_exists(path: str | Path, *, role: str) -> str:
    """Raise a clear error when a checkpoint is missing; return its path as text.

    Args:
        path: Local path, folder of a run (its newest checkpoint is taken) or URL (``http://``,
            ``https://``), which is not looked up here.
        role: What names the path, for the message.
    """
    text = os.path.expanduser(str(path))
    if '://' in text or Path(text).is_file():
        return text
    if Path(text).is_dir():
        newest = latest_checkpoint(text)
        if newest is None:
            raise UserError(f'{role}: the folder {text} holds no checkpoint (iter_*.pth or '
                            'epoch_*.pth).')
        return newest
    folder = Path(text).parent
    there = sorted(str(other) for other in folder.glob('*.pth')) if folder.is_dir() else []
    hint = did_you_mean(text, there) or (
        f' Its folder holds {", ".join(there[:5])}.' if there else
        '' if folder.is_dir() else f' The folder {folder} does not exist either.')
    raise UserError(f'{role}: there is no checkpoint {text}.{hint}')


def read_checkpoint(path: str | Path, *, trust: bool = False, map_location: Any = 'cpu') -> dict:
    """Read a checkpoint without running code from the file.

    Args:
        path: Local path or URL.
        trust: Unpickle arbitrary objects, which can run code from the file.
        map_location: Where tensors go, as in :func:`torch.load`.

    Raises:
        UserError: The file is missing, damaged, or needs to run code.
    """
    text = check_exists(path, role='checkpoint')
    if '://' in text:
        text = _download(text)
    try:
        if trust:
            loaded = torch.load(text, map_location=map_location, weights_only=False)
        else:
            with torch.serialization.safe_globals(_safe_globals()):
                loaded = torch.load(text, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(_unpickling_message(text, error)) from error
    except (RuntimeError, EOFError, KeyError, ValueError) as error:
        raise UserError(
            f'the checkpoint {text} cannot be read, the file is incomplete or damaged '
            f'({_first_line(error)}). Take an earlier checkpoint or copy the file again.'
        ) from error
    if not isinstance(loaded, dict):
        raise UserError(f'{text} holds a {type(loaded).__name__}, not a checkpoint.')
    return loaded


def _unpickling_message(path: str, error: Exception) -> str:
    if 'Unsupported global' not in str(error) and 'GLOBAL' not in str(error):
        return (f'the checkpoint {path} cannot be read: it is no file of torch.save, or it is '
                f'damaged ({_first_line(error)}). Files of other projects: '
                'tools/model_converters/convert.py.')
    return (f'the checkpoint {path} holds objects that could run code while they are read, and '
            f'was therefore not read ({_first_line(error)}). If you trust where it came from, '
            'add --trust-checkpoint.')


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    useful = [line for line in lines if 'Unsupported' in line]
    return (useful or lines or [type(error).__name__])[0][:200]


def _safe_globals() -> list:
    multiarray = getattr(np, '_core', None) or np.core
    rebuild = multiarray.multiarray._reconstruct, multiarray.multiarray.scalar
    return [*_NUMPY, *rebuild, *((function, f'numpy.core.multiarray.{function.__name__}')
                                 for function in rebuild)]


def _download(url: str) -> str:
    folder = Path(torch.hub.get_dir()) / 'checkpoints'
    path = folder / url.rstrip('/').rsplit('/', 1)[-1]
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except (OSError, ValueError) as error:
            raise UserError(f'the checkpoint {url} cannot be downloaded: {error}. Download it '
                            'by other means and give its path instead.') from error
    return str(path)
