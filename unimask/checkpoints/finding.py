"""Where a checkpoint is: the newest of a run, or what a path names."""

from __future__ import annotations

import os
from pathlib import Path

from unimask.errors import UserError, did_you_mean

__all__ = ['WEIGHT_SUFFIXES', 'best_checkpoint', 'check_exists', 'checkpoints_of',
           'latest_checkpoint']

WEIGHT_SUFFIXES = ('.pth', '.pt', '.bin', '.pkl', '.safetensors')
# What other libraries call the weights in a folder that they saved.
_FOLDER_FILES = ('model.safetensors', 'pytorch_model.bin')


def checkpoints_of(work_dir: str | Path) -> list[Path]:
    """Paths of a run's checkpoints, the newest first: the one that ``last_checkpoint`` names,
    then by time of writing."""
    folder = Path(work_dir)
    found = [path for kind in ('iter', 'epoch') for path in folder.glob(f'{kind}_*.pth')
             if path.is_file()]
    found.sort(key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    noted = _noted(folder)
    if noted is not None:
        found = [noted, *(path for path in found if path.name != noted.name)]
    return found


def _noted(folder: Path) -> Path | None:
    """The file that a run noted as its last."""
    try:
        text = (folder / 'last_checkpoint').read_text(errors='replace').strip()
    except OSError:
        return None
    candidates = (Path(text), folder / Path(text).name)  # the folder may have been moved
    return next((path for path in candidates if os.path.isfile(path)), None)


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """Path of the newest checkpoint of a run, None when it has none."""
    return next(map(str, checkpoints_of(work_dir)), None)


def best_checkpoint(work_dir: str | Path) -> str | None:
    """Path of the checkpoint that a run kept as its best, None when it kept none."""
    found = sorted(Path(work_dir).glob('best_*.pth'), key=lambda path: path.stat().st_mtime_ns)
    return str(found[-1]) if found else None


def check_exists(path: str | Path, *, role: str) -> str:
    """Raise a clear error when a checkpoint is missing; return the path of its file as text.

    Args:
        path: Local path, a folder (the newest checkpoint of a run, or the weights that another
            library saved there) or URL (``http://``, ``https://``), which is not looked up here.
        role: What names the path, for the message.

    Raises:
        UserError: There is no such file; says what is there.
    """
    text = os.path.expanduser(str(path))
    if '://' in text or os.path.isfile(text):
        return text
    if os.path.isdir(text):
        return _in_folder(Path(text), role)
    folder = Path(text).parent
    there = sorted(str(other) for other in folder.glob('*') if other.suffix in WEIGHT_SUFFIXES
                   ) if folder.is_dir() else []
    hint = did_you_mean(text, there) or (
        f' Its folder holds {", ".join(there[:5])}.' if there else
        '' if folder.is_dir() else f' The folder {folder} does not exist either.')
    raise UserError(f'{role}: there is no checkpoint {text}.{hint}')


def _in_folder(folder: Path, role: str) -> str:
    newest = latest_checkpoint(folder)
    others = [str(folder / name) for name in _FOLDER_FILES if (folder / name).is_file()]
    if newest is None and not others:
        raise UserError(f'{role}: the folder {folder} holds no checkpoint (iter_*.pth, '
                        f'epoch_*.pth, {" or ".join(_FOLDER_FILES)}).')
    return newest or others[0]
