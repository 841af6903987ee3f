"""One training per work directory."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unimask.errors import UserError

__all__ = ['run_lock']


@contextmanager
def run_lock(folder: Path) -> Iterator[bool]:
    """Keep other processes from training in a folder; the system lifts it with the process.

    Args:
        folder: The work directory.

    Yields:
        Whether the folder is locked; some network file systems cannot.

    Raises:
        UserError: Another process trains there.
    """
    with (folder / '.lock').open('a+') as file:
        yield _lock(file.fileno(), folder)


def _lock(handle: int, folder: Path) -> bool:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return False
        holder = os.pread(handle, 200, 0).decode(errors='replace').strip() or 'another process'
        raise UserError(
            f'{folder} is the work directory of a run that is still going on ({holder}). Wait '
            'for its end or stop it, or give this run a folder of its own: --work-dir DIR.'
        ) from error
    os.ftruncate(handle, 0)
    os.write(handle, f'process {os.getpid()} on {socket.gethostname()}\n'.encode())
    return True
