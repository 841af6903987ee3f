"""Are the data there? Asked before anything is built, and answered with the remedy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from unimask.errors import UserError
from unimask.preflight.components import find_component, options_of
from unimask.registry import DATASETS

__all__ = ['check_data', 'metainfo_of']

# Where the data of classes of mmdet and mmseg come from: names in unimask.datasets.sources.
_FOREIGN_SOURCES = {
    'CocoDataset': 'COCO', 'CocoPanopticDataset': 'COCO', 'COCOStuffDataset': 'COCO',
    'ADE20KDataset': 'ADE20K', 'ADE20KPanopticDataset': 'ADE20K',
    'ADE20KInstanceDataset': 'ADE20K', 'CityscapesDataset': 'CITYSCAPES',
    'MapillaryDataset_v1': 'MAPILLARY', 'MapillaryDataset_v2': 'MAPILLARY',
}
_TAXONOMY_KEYS = ('classes', 'thing_classes', 'stuff_classes', 'palette', 'ignore_index')


@dataclass(frozen=True)
class _Needed:
    """A file or folder that a config names."""

    key: str
    path: str

    @property
    def is_there(self) -> bool:
        return '://' in self.path or os.path.exists(self.path)


def check_data(cfg: Config, loaders: list[str]) -> None:
    """Raise one error that lists every missing file and folder of the datasets in use.

    Args:
        cfg: Config.
        loaders: Keys of the data loaders in use, such as ``train_dataloader``.

    Raises:
        UserError: With config keys, paths and where the data come from.
    """
    needed: list[_Needed] = []
    kinds: list[Any] = []
    for name in loaders:
        if not cfg.get(name):
            continue
        for key, dataset in _datasets(cfg[name]['dataset'], f'{name}.dataset'):
            needed += _paths_of(dataset, key)
            kinds.append(dataset.get('type'))
        needed += _evaluator_paths(cfg, name.replace('_dataloader', '_evaluator'))
    missing: dict[str, _Needed] = {}
    for item in needed:
        if not item.is_there:
            missing.setdefault(item.path, item)
    if missing:
        raise UserError(_message(cfg, list(missing.values()), needed, kinds))


def metainfo_of(dataset: dict, *, key: str) -> dict | None:
    """Classes of a dataset config, as plain values; None when it has none.

    The dataset is made without reading its annotations where its class allows that.

    Args:
        dataset: Config of the dataset, which may wrap another.
        key: Its key in the config, for messages.
    """
    _, inner = next(_datasets(dataset, key))
    options = dict(inner)
    options['pipeline'] = []
    component = find_component(inner['type'])
    accepted = options_of(component)
    if accepted is None or 'lazy_init' in accepted:
        options['lazy_init'] = True
    if accepted is not None and 'pipeline' not in accepted:
        options.pop('pipeline')
    try:
        meta = getattr(DATASETS.build(options), 'metainfo', None)
    except AssertionError as error:  # mmseg's word for a dataset in test mode
        raise UserError(
            f'{key}: {inner["type"]} does not know its classes. State them, in the order of the '
            "labels: metainfo=dict(classes=('first', 'second')).") from error
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f'{key}: {error}') from error
    if not meta or not meta.get('classes'):
        return None
    return {name: _plain(meta[name]) for name in _TAXONOMY_KEYS if meta.get(name) is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, 'tolist') else value


def _datasets(node: dict, key: str) -> Iterator[tuple[str, dict]]:
    """The innermost dataset configs: wrappers hold them under ``dataset`` or ``datasets``."""
    if isinstance(node.get('dataset'), dict):
        yield from _datasets(node['dataset'], f'{key}.dataset')
    elif isinstance(node.get('datasets'), (list, tuple)):
        for number, item in enumerate(node['datasets']):
            yield from _datasets(item, f'{key}.datasets.{number}')
    else:
        yield key, node


def _paths_of(dataset: dict, key: str) -> list[_Needed]:
    root = dataset.get('data_root') or ''
    named = {f'{key}.data_root': root, f'{key}.ann_file': dataset.get('ann_file')}
    named |= {f'{key}.data_prefix.{part}': prefix
              for part, prefix in (dataset.get('data_prefix') or {}).items()}
    if not (dataset.get('metainfo') or {}).get('classes'):
        component = find_component(dataset.get('type'))
        named[f'classes of {key}'] = getattr(component, 'CLASSES_FILE', None)
    return [_Needed(name, path if name.endswith('data_root') else _joined(root, path))
            for name, path in named.items() if isinstance(path, str) and path]


def _joined(root: str, path: str) -> str:
    return path if '://' in path or '://' in root else os.path.join(root, path)


def _evaluator_paths(cfg: Config, name: str) -> list[_Needed]:
    evaluators = cfg.get(name) or []
    several = isinstance(evaluators, (list, tuple))
    return [_Needed(f'{name}.{number}.{key}' if several else f'{name}.{key}',
                    _joined(evaluator.get('data_root') or '', evaluator[key]))
            for number, evaluator in enumerate(evaluators if several else [evaluators])
            for key in ('ann_file', 'seg_prefix') if evaluator.get(key)]


def _message(cfg: Config, missing: list[_Needed], needed: list[_Needed],
             kinds: list[Any]) -> str:
    lines = ['the data are not where the config looks for them. Missing:']
    lines += [f'  {item.path}   ({item.key})' for item in missing]
    there = {item.path for item in needed if item.is_there}
    if there:
        lines.append(f'Found: {", ".join(sorted(there)[:6])}')
    root = cfg.get('data_root')
    lines.append(
        f'Put the data into {root}, or name the folder that holds them:\n'
        '  --cfg-options data_root=FOLDER' if root else
        'Correct these keys in the config or with --cfg-options KEY=PATH.')
    sources = list(filter(None, map(_source_of, kinds)))
    if sources:
        lines.append(f'Where to get them: {sources[0]}')
    return '\n'.join(lines)


def _source_of(kind: Any) -> str:
    """Where the data of a dataset type come from, as its class says; empty when it does not."""
    component = find_component(kind)
    said = getattr(component, 'SOURCE', None)
    if said is not None:
        return said
    from unimask.datasets import sources  # late: it imports all data sets
    known = (_FOREIGN_SOURCES.get(base.__name__) for base in getattr(component, '__mro__', ()))
    name = next(filter(None, known), None)
    return getattr(sources, name) if name else ''
