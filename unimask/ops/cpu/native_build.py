"""Builds and loads the optional compiled CPU kernels (``csrc``), which :mod:`native` calls.

The C++ sources know neither Python nor torch: they are compiled on first use with the machine's own
compiler (a few seconds), cached per user, and called through ctypes. So neither Python's headers
nor ninja are needed, and a build serves every version of both.

Environment: ``UNIMASK_NATIVE=0`` switches the kernels off, ``CXX`` names the compiler,
``UNIMASK_CACHE`` (else ``XDG_CACHE_HOME``/unimask, else ~/.cache/unimask) is where builds are kept.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from unimask.ops.cpu import wanted

__all__ = ['load']

SOURCES = Path(__file__).parent / 'csrc'
# Not -ffast-math: infinities and NaN must keep their meaning.
FLAGS = ('-std=c++17', '-O3', '-march=native', '-fno-math-errno', '-fno-trapping-math', '-fopenmp',
         '-fPIC', '-shared', '-Wno-psabi')
BUILD_TIMEOUT = 120.0  # seconds
_LOCK = threading.Lock()


class BuildError(RuntimeError):
    """The kernels cannot be built or loaded here; the message says why."""


def load() -> ctypes.CDLL | None:
    """The compiled kernels, built on the first call; None where they are off or cannot be had."""
    with _LOCK:
        return _load_once()


@functools.lru_cache(maxsize=1)
def _load_once() -> ctypes.CDLL | None:
    if not wanted():
        return None
    try:
        return _open(_build())
    except (BuildError, OSError) as error:
        logging.getLogger('unimask').warning(
            'the compiled CPU kernels are not used, plain PyTorch is (slower, same results): %s',
            ' '.join(str(error).split()))
        return None


def _build() -> Path:
    """Path of the library for these sources, this compiler and this CPU; built where missing."""
    if os.name != 'posix':
        raise BuildError(f'they are not made for {platform.system()}')
    compiler = _compiler()
    sources = sorted(SOURCES.glob('*.cpp'))
    if not sources:
        raise BuildError(f'no C++ sources in {SOURCES}; reinstall unimask')
    library = _cache_folder() / f'native-{_fingerprint(compiler)}' / 'unimask_native.so'
    if not library.exists():
        library.parent.mkdir(exist_ok=True)
        with _file_lock(library.parent / 'lock'):
            if not library.exists():  # another process may have built it while we waited
                _compile(compiler, sources, library)
    return library


def _compiler() -> list[str]:
    return shlex.split(os.environ.get('CXX', 'c++'))


def _compile(compiler: list[str], sources: Sequence[Path], library: Path) -> None:
    # Under another name first: a build that is killed must not leave half a library.
    partial = library.with_suffix('.partial')
    command = [*compiler, *FLAGS, *map(str, sources), '-o', str(partial), *_openmp_library()]
    result = _run(command)
    if result.returncode:
        lines = [line for line in result.stdout.splitlines() if 'error' in line.lower()]
        reason = (lines or result.stdout.splitlines() or ['no message'])[0]
        raise BuildError(f'{compiler[0]} failed with exit status {result.returncode}: {reason}')
    os.replace(partial, library)


def _run(command: Sequence[str]) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors='replace', timeout=BUILD_TIMEOUT, check=False)
    except FileNotFoundError:
        raise BuildError(
            f'no C++ compiler {command[0]!r}; install one (Debian: apt install g++) or set CXX'
        ) from None
    except subprocess.TimeoutExpired:
        raise BuildError(f'{command[0]} took longer than {BUILD_TIMEOUT:.0f} s') from None


def _openmp_library() -> list[str]:
    """torch's own OpenMP runtime, so that one pool of threads serves both; else the default one."""
    folder = Path(torch.__file__).parent / 'lib'
    return [str(path) for path in sorted(folder.glob('libgomp*.so*'))[:1]]


def _fingerprint(compiler: list[str]) -> str:
    version = _run([*compiler, '--version']).stdout
    parts = [version, _cpu_signature(), *FLAGS, *_openmp_library()]
    parts += [path.read_text(encoding='utf-8') for path in sorted(SOURCES.iterdir())]
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:16]


def _cpu_signature() -> str:
    """Names the instruction set: a home folder may be shared by unlike machines."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    wanted = ('model name', 'flags', 'Features', 'CPU part')
    return '\n'.join([platform.machine(), *sorted({x for x in lines if x.startswith(wanted)})])


def _cache_folder() -> Path:
    named = os.environ.get('UNIMASK_CACHE')
    base = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    folder = Path(named) if named else Path(base) / 'unimask'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    return folder if writable else _private_temporary_folder()


def _private_temporary_folder() -> Path:
    """For users without a writable home. Code is loaded from it, so it must be theirs alone."""
    folder = Path(tempfile.gettempdir()) / f'unimask-{os.getuid()}'
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise BuildError(f'{folder} is not yours alone; set UNIMASK_CACHE to a folder that is')
    return folder


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    """No other process builds meanwhile; the system releases the lock of a process that dies."""
    import fcntl  # POSIX only
    with path.open('w', encoding='utf-8') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _open(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    pointer, integer, count = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    seed = ctypes.c_uint64
    signatures = {
        'unimask_ms_deform_attn_forward': [pointer] * 6 + [integer],
        'unimask_ms_deform_attn_backward': [pointer] * 9 + [integer],
        'unimask_deform_columns_forward': [pointer] * 5 + [integer],
        'unimask_deform_columns_backward': [pointer] * 8 + [integer],
        'unimask_sampling_forward': [pointer] * 7 + [integer],
        'unimask_sampling_backward': [pointer] * 5 + [integer],
        'unimask_sample_maps_forward': [pointer] * 4 + [integer],
        'unimask_sample_maps_backward': [pointer] * 4 + [integer],
        'unimask_sample_labels': [pointer, count] + [pointer] * 5 + [integer],
        'unimask_uncertain_points': [pointer, count, count, seed] + [pointer] * 3 + [integer],
        'unimask_uniform_points': [seed, count, pointer, integer],
        'unimask_pair_statistics': [pointer] * 7 + [integer],
        'unimask_row_statistics_forward': [pointer] * 4 + [integer],
        'unimask_row_statistics_backward': [pointer] * 5 + [integer],
    }
    for name, arguments in signatures.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    return library
