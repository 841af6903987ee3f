"""The error that users are meant to read, and the search for what they may have meant."""
from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ['UserError', 'did_you_mean']


class UserError(ValueError):
    """Something that the user can mend: a config, a path, a file, an option.

    The command line tools print its message without a traceback and exit with status 2. The
    message says what is wrong, where, and how to mend it.
    """


def did_you_mean(word: str, choices: Iterable[str], *, count: int = 3) -> str:
    """Sentence that offers the choices closest to a word; empty when none is close."""
    names = [str(choice) for choice in choices]
    lower = {name.lower(): name for name in names}
    close = get_close_matches(word.lower(), lower, n=count, cutoff=0.6)
    if not close:
        return ''
    return f' Did you mean {" or ".join(repr(lower[name]) for name in close)}?'
