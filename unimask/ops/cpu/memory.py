"""Memory that training on a CPU frees in one step and needs again in the next."""

from __future__ import annotations

import ctypes
import os
import sys

from unimask.ops.cpu import wanted

__all__ = ['keep_freed_memory']

# <malloc.h>: names of mallopt's parameters
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_ENVIRONMENT = ('MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'GLIBC_TUNABLES')
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the C library keep what this process frees, for its next step.

    It would give large blocks back to the system, which has to clear each page when it hands them
    out again; with small models that is a good part of a training step. Resident memory stays at
    its peak instead. Nothing is done outside of Linux with the GNU C library, or where the
    environment already has settings for it.

    Returns:
        Whether it was done.
    """
    if not wanted() or any(os.environ.get(name) for name in _ENVIRONMENT):
        return False
    if not sys.platform.startswith('linux'):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, 'gnu_get_libc_version'):
        return False
    # Older versions take at most 32 MiB for the first.
    mapped = (library.mallopt(_MMAP_THRESHOLD, _MOST)
              or library.mallopt(_MMAP_THRESHOLD, 32 * 2**20))
    return bool(mapped and library.mallopt(_TRIM_THRESHOLD, _MOST))
