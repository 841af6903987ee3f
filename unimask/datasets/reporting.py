"""What data sets say of themselves, once each, in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mmengine.logging import print_log

__all__ = ['say', 'some', 'warn']

SHOWN = 3


def say(text: str) -> None:
    """One line of information."""
    print_log(text, logger='current')


def warn(text: str) -> None:
    """One warning, which is also kept in the log file."""
    print_log(text, logger='current', level=logging.WARNING)


def some(names: Iterable[object], *, shown: int = SHOWN) -> str:
    """The first few of many names, and how many more there are."""
    names = [str(name) for name in names]
    more = f' and {len(names) - shown} more' if len(names) > shown else ''
    return ', '.join(names[:shown]) + more
