"""Peak memory of a piece of work above what was held before it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import torch

STATUS = Path('/proc/self/status')
CLEAR_REFS = Path('/proc/self/clear_refs')


def peak_above(work: Callable[[], object], device: torch.device) -> int:
    """Bytes by which ``work()`` raises the memory above the level at its start.

    On CUDA this is the allocator's peak. On the CPU it is the kernel's high-water mark of
    resident memory, so run it in a process of its own: freed memory that the C library keeps
    from earlier work would hide new allocations.
    """
    gc.collect()
    return _cuda_peak(work, device) if device.type == 'cuda' else _cpu_peak(work)


def _cuda_peak(work: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _cpu_peak(work: Callable[[], object]) -> int:
    ctypes.CDLL(None).malloc_trim(0)
    before = _status('VmRSS')
    CLEAR_REFS.write_text('5')  # resets the high-water mark (see proc(5))
    work()
    return _status('VmHWM') - before


def _status(key: str) -> int:
    """A memory line of the kernel's process status, in bytes."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(key + ':'):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f'{STATUS} has no line {key}: memory can only be measured on Linux')
