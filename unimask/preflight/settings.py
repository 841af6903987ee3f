"""Settings: a handful of top-level keys of a config, each of which decides several places.

``crop_size`` is written into two or three steps of a pipeline, ``data_root`` into every dataset.
MMEngine evaluates a file before it knows what the files that inherit from it will change; here such
a change reaches those places. Nothing is guessed from old values: a setting names its places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from unimask.errors import UserError
from unimask.preflight.components import find_component, walk

__all__ = ['SETTINGS', 'read_config', 'set_everywhere']


@dataclass(frozen=True)
class _Place:
    """One place of a config; a path may lie further down than the folder of the setting."""

    path: str
    node: dict
    key: str
    below: str = ''

    @property
    def value(self) -> Any:
        return self.node.get(self.key)


@dataclass(frozen=True)
class _Setting:
    """What a key decides.

    Attributes:
        places: The places of a config that it decides.
        fitted: A value in the form that a place has.
        absent: What a config lacks that has no such place.
    """

    places: Callable[[Config], Iterator[_Place]]
    fitted: Callable[[Any, _Place], Any]
    absent: str


def read_config(path: str | Path) -> Config:
    """Read a config file; a setting that it states reaches what it inherits.

    What a file states itself stays as it is: a setting stands for places of the files below it.

    Args:
        path: The config file.

    Raises:
        UserError: A setting has a value that does not fit.
    """
    cfg = Config.fromfile(str(path))
    bases = _bases(path)
    plain = [Config.fromfile(base) for base in bases]
    resolved = [read_config(base) for base in bases]
    for name, setting in SETTINGS.items():
        before, after = _values(plain, setting), _values(resolved, setting)
        stated = name in cfg and all(base.get(name) != cfg[name] for base in plain)
        for place in list(setting.places(cfg)):
            if place.path in before and place.value == before[place.path]:
                place.node[place.key] = (
                    setting.fitted(cfg[name], place) if stated else after[place.path])
    return cfg


def set_everywhere(cfg: Config, name: str, value: Any) -> None:
    """Change a setting and every place that it decides.

    Raises:
        UserError: The config has no such place, or the value does not fit.
    """
    setting = SETTINGS[name]
    places = list(setting.places(cfg))
    if not places:
        raise UserError(f'{name}={value!r} changes nothing: the config has {setting.absent}.')
    for place in places:
        place.node[place.key] = setting.fitted(value, place)
    cfg[name] = value


def _bases(path: str | Path) -> list[str]:
    named = Config._get_base_files(str(path))
    return [Config._get_cfg_path(base, str(path))[0] for base in named]


def _values(configs: list[Config], setting: _Setting) -> dict[str, Any]:
    return {place.path: place.value for cfg in configs for place in setting.places(cfg)}


def _batches(cfg: Config) -> Iterator[_Place]:
    if cfg.get('train_dataloader'):
        yield _Place('train_dataloader.batch_size', cfg.train_dataloader, 'batch_size')


def _crops(cfg: Config) -> Iterator[_Place]:
    """The last step of training that cuts to a size or pads to it, and the ones as large."""
    for part in ('train_pipeline', 'train_dataloader'):
        steps = []
        for path, node in walk(cfg.get(part), part):
            option = getattr(find_component(node.get('type')), 'crop_option', None)
            if option:
                steps.append(_Place(f'{path}.{option}', node, option))
        yield from (step for step in steps if step.value == steps[-1].value)


def _roots(cfg: Config) -> Iterator[_Place]:
    """Folders of datasets and metrics, and files of metrics that are named with their folder."""
    folders = set()
    for path, node in _parts(cfg, '_dataloader'):
        if 'data_root' in node:
            folders.add(Path(node['data_root'] or '.'))
            yield _Place(f'{path}.data_root', node, 'data_root')
    for path, node in _parts(cfg, '_evaluator'):
        if 'data_root' in node:
            yield _Place(f'{path}.data_root', node, 'data_root')
            continue
        for key, value in node.items():
            for folder in folders - {Path()}:
                if isinstance(value, str) and Path(value).is_relative_to(folder):
                    yield _Place(f'{path}.{key}', node, key, str(Path(value).relative_to(folder)))


def _parts(cfg: Config, ending: str) -> Iterator[tuple[str, dict]]:
    for name in list(cfg):
        if name.endswith(ending):
            yield from walk(cfg[name], name)


def _lengths(cfg: Config) -> Iterator[_Place]:
    """The loop's; a schedule knows its length from there, milestones and warm-up stay."""
    loop = cfg.get('train_cfg') or {}
    if 'max_iters' in loop:
        yield _Place('train_cfg.max_iters', loop, 'max_iters')
        if loop.get('val_interval') == loop['max_iters']:  # evaluated at the end only
            yield _Place('train_cfg.val_interval', loop, 'val_interval')


def _count(value: Any, place: _Place) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f'{place.key}={value!r}: it has to be a whole number of at least 1.')
    return value


def _folder(value: Any, place: _Place) -> str:
    if not isinstance(value, (str, Path)):
        raise UserError(f'{place.key}={value!r}: it has to be the name of a folder.')
    return str(Path(value, place.below)) if place.below else str(value)


def _size(value: Any, place: _Place) -> int | tuple[int, int]:
    """An edge or (height, width), whichever the step has."""
    edges = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    if len(edges) != 2 or any(not isinstance(edge, int) or edge < 1 for edge in edges):
        raise UserError(f'crop_size={value!r}: it has to be a number of pixels or two, '
                        '(height, width).')
    if isinstance(place.value, (list, tuple)):
        return edges
    if edges[0] != edges[1]:
        raise UserError(f'crop_size={value!r}: {place.path} is the edge of a square, give one '
                        'number.')
    return edges[0]


SETTINGS = {
    'batch_size': _Setting(_batches, _count, 'no train_dataloader'),
    'crop_size': _Setting(_crops, _size, 'no step that crops to a size in its train_dataloader'),
    'data_root': _Setting(_roots, _folder, 'no dataset with a data_root'),
    'max_iters': _Setting(_lengths, _count, 'no train_cfg.max_iters'),
}
