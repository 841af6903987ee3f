"""The libraries that only the full installation has, and what is said where they are missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from io import StringIO

from unimask.errors import UserError

__all__ = ['INSTALL', 'LIBRARIES', 'import_quietly', 'library_of', 'quietly', 'require']

INSTALL = 'pip install "unimask[mm]"'
LIBRARIES = dict(mmdet='MMDetection', mmseg='MMSegmentation', mmcv='mmcv',
                 cityscapesscripts='cityscapesscripts')
_WITH_REGISTRY = ('mmdet', 'mmseg')


def library_of(name: object) -> str | None:
    """The library of :data:`LIBRARIES` that a name in a config means, such as ``mmdet.ResNet``."""
    scope, dot, _ = name.partition('.') if isinstance(name, str) else ('', '', '')
    return scope if dot and scope in LIBRARIES else None


def require(library: str, *, owner: str) -> None:
    """Import a library, where it has one with its registries.

    Args:
        library: Key of :data:`LIBRARIES`.
        owner: What needs it, for the message.

    Raises:
        UserError: It is not installed, or does not import.
    """
    try:
        import_quietly([f'{library}.registry' if library in _WITH_REGISTRY else library])
    except ImportError as error:
        raise UserError(f'{owner} needs {LIBRARIES[library]}, which this installation cannot '
                        f'import ({error}). The full one has it: {INSTALL}') from error


def import_quietly(names: Iterable[str]) -> None:
    """Import modules without what :func:`quietly` drops."""
    with quietly():
        for name in names:
            import_module(name)


@contextmanager
def quietly() -> Iterator[None]:
    """Drops the lines in which onedl-mmdetection and -mmsegmentation announce, as they are
    imported, an optional package that concerns nobody here."""
    printed = StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        lines = [line for line in printed.getvalue().splitlines() if 'import OneDL' not in line]
        if lines:
            print('\n'.join(lines))
