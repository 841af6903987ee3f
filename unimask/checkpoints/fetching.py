"""Files from the web, kept in torch hub's cache."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import torch

from unimask.checkpoints.writing import atomic_write_text
from unimask.errors import UserError

__all__ = ['cached', 'check_reachable', 'fetch', 'is_url']

_REACH_SECONDS = 5.0
_GONE = (404, 410)  # other answers to a mere question may come from servers that dislike it


def is_url(path: str | Path) -> bool:
    """Whether a path is an address that can be fetched."""
    return str(path).startswith(('http://', 'https://'))


def cached(url: str) -> Path:
    """Where the file of an address is kept, whether it is there or not."""
    name = urlsplit(url).path.rstrip('/').rsplit('/', 1)[-1] or 'checkpoint'
    path = Path(torch.hub.get_dir()) / 'checkpoints' / name
    origin = _note(path)
    if origin.is_file() and origin.read_text(errors='replace') != url:
        digest = hashlib.sha256(url.encode()).hexdigest()[:8]  # another file of the same name
        return path.with_name(f'{path.stem}-{digest}{path.suffix}')
    return path


def _note(path: Path) -> Path:
    """Where it is noted which address a file of the cache came from."""
    return path.with_name(f'{path.name}.url')


def fetch(url: str, *, without: str = '') -> Path:
    """Path of the file of an address, downloaded unless it is in the cache.

    Args:
        url: The address.
        without: How to do without it, for the message.

    Raises:
        UserError: It cannot be had; names the address and the place in the cache.
    """
    path = cached(url)
    if path.is_file():
        return path
    check_reachable(url, without=without)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
        atomic_write_text(url, _note(path))
    except (OSError, ValueError) as error:
        raise UserError(_unreachable(url, error, without)) from error
    return path


def check_reachable(url: str, *, without: str = '') -> None:
    """Say early when an address neither is in the cache nor answers. Downloads nothing.

    Raises:
        UserError: As :func:`fetch`.
    """
    if cached(url).is_file():
        return
    try:
        request = urllib.request.Request(url, method='HEAD')
        with urllib.request.urlopen(request, timeout=_REACH_SECONDS):
            return
    except (OSError, ValueError) as error:
        if not isinstance(error, urllib.error.HTTPError) or error.code in _GONE:
            raise UserError(_unreachable(url, error, without)) from error


def _unreachable(url: str, error: Exception, without: str) -> str:
    reason = getattr(error, 'reason', error)
    return (f'the weights are not in the cache and cannot be downloaded ({reason}). Get\n'
            f'  {url}\non a machine with a connection and put it at\n  {cached(url)}\n'
            f'or give the path of a file instead. {without}').rstrip()
