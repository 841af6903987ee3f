"""The error that users are meant to read, the end that they ask for, names and hints."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

__all__ = ['Interrupted', 'UserError', 'did_you_mean', 'image_name']


class UserError(ValueError):
    """Something that the user can mend: a config, a path, a file, an option.

    The command line tools print its message without a traceback and exit with status 2. The
    message says what is wrong, where, and how to mend it.

    torch raises the error of a data worker again in the main process, with the printed traceback
    of the worker as its message; of that only the sentence is kept.
    """

    def __init__(self, message: str = '') -> None:
        super().__init__(_sentence(str(message), type(self)))


def _sentence(message: str, kind: type[UserError]) -> str:
    """What a worker's error said, from its printed traceback; any other message as it is."""
    if not message.startswith('Caught ') or '\nOriginal Traceback' not in message:
        return message
    # The name of an error stands at the start of its line; lines of code are indented.
    _, found, said = message.rpartition(f'\n{kind.__module__}.{kind.__qualname__}: ')
    return said.strip() if found else message


class Interrupted(Exception):
    """A training was asked to stop and did, after writing a checkpoint.

    Attributes:
        signum: The signal that asked.
        checkpoint: Where the run can be resumed from; None without a checkpoint hook.
    """

    def __init__(self, *, signum: int, checkpoint: str | None) -> None:
        super().__init__(f'stopped by {signal.Signals(signum).name}')
        self.signum = signum
        self.checkpoint = checkpoint


def image_name(sample: object) -> str:
    """What messages call the image of a data sample, or of its fields: its path, else its id."""
    fields = sample if isinstance(sample, Mapping) else dict(
        img_path=getattr(sample, 'img_path', None), img_id=getattr(sample, 'img_id', None))
    if fields.get('img_path'):
        return str(fields['img_path'])
    known = fields.get('img_id')
    return f'with id {"(unknown)" if known is None else known}'


def did_you_mean(word: str, choices: Iterable[str], *, count: int = 3) -> str:
    """Sentence that offers the choices closest to a word; empty when none is close."""
    names = [str(choice) for choice in choices]
    lower = {name.lower(): name for name in names}
    close = get_close_matches(word.lower(), lower, n=count, cutoff=0.6)
    if not close:
        return ''
    return f' Did you mean {" or ".join(repr(lower[name]) for name in close)}?'
