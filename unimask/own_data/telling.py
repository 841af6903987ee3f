"""What a user sees while data are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

__all__ = ['progress']

Item = TypeVar('Item')


def progress(items: Sequence[Item], text: str) -> Iterable[Item]:
    """The items, with a progress line on stderr."""
    return track(items, text, console=Console(stderr=True))
