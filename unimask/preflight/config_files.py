"""Config files: where this package's own are, safe YAML, and top-level keys that nothing reads."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config
from mmengine.fileio.handlers import YamlHandler, register_handler

import unimask
from unimask.errors import UserError, did_you_mean

__all__ = ['check_keys', 'config_folder', 'config_path']

OWN = 'unimask::'


def config_folder() -> Path:
    """Folder of this package's configs: of the installation, or of the checkout.

    Raises:
        UserError: It is not there.
    """
    package = Path(unimask.__file__).parent
    for folder in (package / '.mim' / 'configs', package.parent / 'configs'):
        if (folder / '_base_').is_dir():
            return folder
    raise UserError(f'the configs of unimask are not beside its code in {package}; install it '
                    'again, or name a config file by its path.')


def config_path(name: str | Path) -> Path:
    """Path of a config: ``unimask::mask2former/r50_8xb2_ade20k.py`` is one of this package.

    Raises:
        UserError: The package has no such config.
    """
    text = str(name)
    if not text.startswith(OWN):
        return Path(text)
    folder = config_folder()
    path = folder / text.removeprefix(OWN)
    if not path.is_file():
        there = [f'{OWN}{found.relative_to(folder).as_posix()}' for found in folder.rglob('*.py')]
        raise UserError(f'there is no config {text}.{did_you_mean(text, there)}')
    return path


def check_keys(cfg: Config, known: set[str]) -> None:
    """Raise where a top-level key looks like a misspelt one of those that are read.

    A file may have variables of its own. Taken for a mistake is a name that is very close to a
    known one and whose value is not used anywhere else in the config.

    Args:
        cfg: Config.
        known: Keys that are read.

    Raises:
        UserError: With the key that may have been meant.
    """
    for key, value in cfg.items():
        if key in known or key.startswith('_'):
            continue
        meant = max(known, key=lambda name: _likeness(key, name))
        limit = 0.8 if isinstance(value, dict) else 0.85
        if _likeness(key, meant) >= limit and not _is_used(value, key, cfg):
            raise UserError(f'{key}: nothing reads this key of the config. Did you mean {meant!r}? '
                            'A variable of your own needs a less similar name.')


def _likeness(name: str, other: str) -> float:
    return SequenceMatcher(None, name, other, autojunk=False).ratio()


def _is_used(value: Any, key: str, cfg: Config) -> bool:
    """Whether a variable's value is part of another key's; small numbers prove nothing."""
    if not isinstance(value, (dict, list, tuple, str)) or not value:
        return False
    return any(value == part for name, other in cfg.items() if name != key
               for part in _parts(other))


def _parts(value: Any) -> Iterator[Any]:
    yield value
    inner = value.values() if isinstance(value, dict) else (
        value if isinstance(value, (list, tuple)) else ())
    for item in inner:
        yield from _parts(item)


class _PlainLoader(yaml.SafeLoader):
    """YAML without Python objects; tuples, which MMEngine writes, are plain enough."""


_PlainLoader.add_constructor('tag:yaml.org,2002:python/tuple',
                             lambda loader, node: tuple(loader.construct_sequence(node, deep=True)))


@register_handler(['yaml', 'yml'])
class PlainYamlHandler(YamlHandler):
    """MMEngine's reader of YAML files, which would call Python functions that a file names."""

    def load_from_fileobj(self, file: Any, **kwargs: Any) -> Any:
        """Read a file."""
        try:
            return yaml.load(file, Loader=_PlainLoader)
        except yaml.constructor.ConstructorError as error:
            raise UserError(
                f'the YAML file asks for Python objects, which could run code while it is read, '
                f'and was therefore not read ({error.problem}; line '
                f'{error.problem_mark.line + 1}). Write plain values.') from error
        except yaml.YAMLError as error:
            raise UserError(f'the YAML file is damaged: {error}') from error


_theirs = Config._get_cfg_path


def _resolve(cfg_path: str, filename: str) -> tuple[str, str | None]:
    """Where a base of a config file is; MMEngine knows OpenMMLab's packages only."""
    if cfg_path.startswith(OWN):
        return str(config_path(cfg_path)), None
    return _theirs(cfg_path, filename)


# The one seam that MMEngine leaves for names of packages in `_base_`.
Config._get_cfg_path = staticmethod(_resolve)
