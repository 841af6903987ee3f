"""Fixtures shared by all tests."""

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get('UNIMASK_SHARED', ROOT.parent / 'shared'))
RECORDED = ROOT / 'tests' / 'recorded'


# In the background of a script Ctrl-C is ignored, and programs that tests start inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope='session', autouse=True)
def _registered() -> None:
    from unimask.utils import register_all_modules
    register_all_modules()


@pytest.fixture(scope='module', autouse=True)
def _freed_memory_is_given_back() -> Iterator[None]:
    """A training makes its process keep what it frees: that of all modules would add up."""
    yield
    library = ctypes.CDLL(None)
    if hasattr(library, 'malloc_trim'):
        library.malloc_trim(0)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def repo() -> Path:
    """Root of the source tree."""
    return ROOT


def _shared(part: str) -> Path:
    path = SHARED / part
    if not path.exists():
        pytest.skip(f'the optional test data {part} is not here (UNIMASK_SHARED)')
    return path


def _reference(part: str) -> Path:
    path = SHARED / 'reference' / part
    return path if path.exists() else RECORDED / part


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder of the small real data sets; skips where they are absent."""
    return _shared('data')


@pytest.fixture(scope='session')
def goldens() -> Path:
    """Folder of the golden outputs; without it, of the thinned ones in the repository."""
    return _reference('goldens')


@pytest.fixture(scope='session')
def zoo() -> Path:
    """Folder with the published parameter listings; without it, of those in the repository."""
    return _reference('zoo')
