"""Files that are complete or not there at all: written beside their place, synced, renamed."""

from __future__ import annotations

import itertools
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

__all__ = ['atomic_file', 'atomic_folder', 'atomic_torch_save', 'atomic_write_bytes',
           'atomic_write_text', 'remove_parts']

_HOST = re.sub(r'\W', '-', platform.node()) or 'host'
_PART = re.compile(r'\..+\.(?P<host>[\w-]+)\.(?P<pid>\d+)\.\d+\.part')
_ABANDONED_SECONDS = 24 * 3600.0
_numbers = itertools.count()


def atomic_torch_save(value: Any, path: str | Path) -> None:
    """Write a file of ``torch.save`` so that under its name there is ever only a complete one.

    Raises:
        OSError: The file cannot be written, for example because the disk is full.
    """
    with atomic_file(path) as file:
        try:
            torch.save(value, file)
        except RuntimeError as error:  # torch ends its archive even after a failed write
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def atomic_write_text(text: str, path: str | Path) -> None:
    """Write a text file (UTF-8) so that under its name there is ever only a complete one."""
    atomic_write_bytes(text.encode(), path)


def atomic_write_bytes(content: bytes, path: str | Path) -> None:
    """Write a file so that under its name there is ever only a complete one."""
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write, which takes its place when the block ends without an error.

    Its folder is made. The mode is that of any new file, so that colleagues can read it as far
    as the umask lets them.
    """
    path = Path(path)
    part = _part_of(path)
    try:
        with part.open('xb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A folder to fill, which takes its place when the block ends without an error.

    A folder that is there already is replaced as a whole, so that what it holds is never of two
    writings.
    """
    path = Path(path)
    part, old = _part_of(path), _part_of(path)
    try:
        part.mkdir()
        yield part
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(part, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    _sync_folder(path.parent)


def _part_of(path: Path) -> Path:
    """A name beside a path for what is not yet complete; the folder of both is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f'.{path.name}.{_HOST}.{os.getpid()}.{next(_numbers)}.part')


def remove_parts(folder: str | Path) -> list[Path]:
    """Remove what killed processes had half written; return the paths.

    A part goes when its process on this machine has ended. One of another machine goes when
    nobody has written to it for a day.
    """
    removed = []
    for path in Path(folder).glob('.*.part'):
        found = _PART.fullmatch(path.name)
        if found and _is_abandoned(path, host=found['host'], pid=int(found['pid'])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _is_abandoned(path: Path, *, host: str, pid: int) -> bool:
    if host == _HOST and not _is_running(pid):
        return True
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
    except FileNotFoundError:  # finished meanwhile
        return False


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems cannot sync a folder
        pass
    finally:
        os.close(handle)
