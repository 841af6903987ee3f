"""Checkpoints on the Hugging Face hub, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from unimask.errors import UserError

__all__ = ['located']

_SUFFIXES = ('.safetensors', '.pth')  # the first is preferred


def located(name: str | Path) -> str | Path:
    """A checkpoint; fetched from the hub where the name is one there (``owner/model``).

    Without a network a model that was fetched before is taken from the cache of the hub.

    Raises:
        UserError: There is no such model, or it cannot be fetched.
    """
    text = str(name)
    if Path(name).exists() or '://' in text or text.count('/') != 1 or text.startswith('.'):
        return name
    try:
        import huggingface_hub as hub
    except ImportError:
        raise UserError(f'there is no file or folder {text}. To take it from the Hugging Face hub: '
                        'pip install huggingface_hub') from None
    try:
        return _fetched(text, hub.list_repo_files, hub.hf_hub_download)
    except UserError:
        raise
    except Exception as error:  # of the network, of the hub, of a name that it does not take
        kept = _kept(text, hub.snapshot_download)
        if kept is not None:
            return kept
        raise UserError(f'there is no file or folder {text}, and it cannot be fetched from the '
                        f'Hugging Face hub ({_first_line(error)}). Give the path of a file, or '
                        'look at the name and the network.') from error


def _fetched(name: str, list_files: Callable[[str], list[str]],
             download: Callable[[str, str], str]) -> str:
    chosen = _chosen(list_files(name))
    if chosen is None:
        raise UserError(f'{name} on the Hugging Face hub has no .safetensors or .pth file.')
    return download(name, chosen)


def _kept(name: str, snapshot: Callable[..., str]) -> Path | None:
    """What the cache has of a model."""
    try:
        folder = Path(snapshot(name, local_files_only=True))
    except Exception:  # nothing is there; why it was not fetched is what is told
        return None
    chosen = _chosen(path.relative_to(folder).as_posix() for path in folder.rglob('*'))
    return None if chosen is None else folder / chosen


def _chosen(files: Iterable[str]) -> str | None:
    """The checkpoint among files."""
    known = sorted(file for file in files if file.endswith(_SUFFIXES))
    return min(known, key=lambda file: _SUFFIXES.index(Path(file).suffix), default=None)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
