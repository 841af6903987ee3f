"""Configs: reading, changing from the command line, and fitting to data and machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from unimask.checkpoints import check_exists
from unimask.errors import UserError, did_you_mean
from unimask.preflight.components import (
    check_components,
    find_component,
    options_of,
    walk,
)
from unimask.preflight.config_files import check_keys, config_path
from unimask.preflight.data import check_data, metainfo_of
from unimask.preflight.options import KNOWN_KEYS, apply_options
from unimask.preflight.precision import choose_precision
from unimask.preflight.settings import read_config
from unimask.registry import WEIGHT_INITIALIZERS

__all__ = ['LOADERS', 'load_config', 'prepare_config']

# What each way of running uses.
LOADERS = {'train': ('train', 'val'), 'val': ('val',), 'test': ('test',), 'predict': ()}


def load_config(path: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config and change it.

    The settings ``batch_size``, ``crop_size``, ``data_root`` and ``max_iters`` reach every place
    that they decide, whether the file states them or an option does.

    Args:
        path: The config file; ``unimask::demo/mask2former_shapes.py`` is one of this package.
        options: ``{'a.b.c': value}`` as given with ``--cfg-options``.

    Raises:
        UserError: The file is missing or cannot be read, or an option names no key.
    """
    path = config_path(path)
    if not path.is_file():
        raise UserError(f'there is no config {path}.{_config_hint(path)}')
    try:
        cfg = read_config(path)
    except UserError as error:
        raise UserError(f'the config {path} cannot be read: {error}') from error
    except (SyntaxError, NameError, AssertionError, TypeError, KeyError, OSError, ImportError,
            AttributeError, ValueError) as error:
        raise UserError(f'the config {path} cannot be read: {type(error).__name__}: {error}'
                        ) from error
    for _, node in walk(cfg):  # MMEngine leaves it where there was nothing to delete
        node.pop('_delete_', None)
    if options:
        apply_options(cfg, options)
    return cfg


def prepare_config(cfg: Config, *, mode: str = 'train', amp: str | None = None) -> Config:
    """Fit a config to its data and to this machine, and find what would fail later.

    In this order: misspelt keys, unknown components and their unknown options, missing data,
    classes (``model.taxonomy`` becomes that of the dataset), missing weights, precision, and what
    a machine without GPU needs.

    Args:
        cfg: Config; it is not changed.
        mode: ``train``, ``val``, ``test`` or ``predict``: decides which datasets are used.
        amp: Precision for training, see :func:`choose_precision`.

    Returns:
        The config to build a runner from.

    Raises:
        UserError: One message that names file or key and the remedy.
    """
    cfg = cfg.copy()
    _revert_sync_bn(cfg)
    if mode == 'train':
        choose_precision(cfg, amp)
    check_keys(cfg, KNOWN_KEYS)
    check_components(cfg)
    loaders = [f'{name}_dataloader' for name in LOADERS[mode]]
    check_data(cfg, loaders)
    _set_taxonomy(cfg, loaders)
    _check_weights(cfg, mode)
    _fit_loaders(cfg)
    _fit_machine(cfg)
    return cfg


def _config_hint(path: Path) -> str:
    folder = next((parent for parent in path.parents if parent.is_dir()), Path())
    near = sorted(str(found) for found in folder.glob('**/*.py'))[:2000] if str(folder) != '.' \
        else sorted(str(found) for found in Path('configs').glob('**/*.py'))
    return did_you_mean(str(path), near) or (
        f' {path} is a folder.' if path.is_dir() else ' Configs are under configs/<method>/.')


def _set_taxonomy(cfg: Config, loaders: list[str]) -> None:
    """Give the model the classes of its dataset, the one place where they are stated."""
    found = {name: metainfo_of(cfg[name]['dataset'], key=f'{name}.dataset')
             for name in loaders if cfg.get(name)}
    found = {name: meta for name, meta in found.items() if meta}
    if not found:
        return
    (first, meta), *others = found.items()
    for name, other in others:
        if tuple(other['classes']) != tuple(meta['classes']):
            raise UserError(
                f'the datasets of {first} and {name} have different classes '
                f'({len(meta["classes"])} and {len(other["classes"])}; '
                f'{_first_difference(meta["classes"], other["classes"])}). Give both the same '
                'metainfo=dict(classes=...).')
    model = cfg.get('model') or {}
    if _accepts(model, 'taxonomy'):
        model['taxonomy'] = meta


def _first_difference(ours: list[str], theirs: list[str]) -> str:
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a != b:
            return f'class {number} is {a!r} and {b!r}'
    return 'one list continues where the other ends'


def _accepts(model: dict, option: str) -> bool:
    component = find_component(model.get('type'))
    options = options_of(component) if component else None
    return option in model or (options is not None and option in options)


def _check_weights(cfg: Config, mode: str) -> None:
    """Look for the files of weights before anything is built."""
    if cfg.get('load_from'):
        found = check_exists(cfg.load_from, role='--resume' if cfg.get('resume') else 'load_from')
        if not cfg.get('resume'):
            cfg.load_from = found  # the file that a folder stands for, so that the log names it
    if mode == 'train' and not cfg.get('load_from') and not cfg.get('resume'):
        for path, node in walk(cfg.get('model'), 'model'):
            if 'init_cfg' in path.split('.') and 'checkpoint' in node:
                _check_pretrained(node, path)


def _check_pretrained(node: dict, path: str) -> None:
    component = WEIGHT_INITIALIZERS.get(node['type']) if 'type' in node else None
    if component is None or not hasattr(component, 'check'):
        return
    options = {key: value for key, value in node.items() if key != 'type'}
    try:
        component(**options).check()
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f'{path}: {error}') from error


def _revert_sync_bn(cfg: Config) -> None:
    """SyncBN needs several GPUs; elsewhere it is BN."""
    if cfg.get('launcher', 'none') != 'none' and torch.cuda.is_available():
        return
    for _, node in walk(cfg.get('model')):
        if node.get('type') == 'SyncBN':
            node['type'] = 'BN'


def _fit_loaders(cfg: Config) -> None:
    """Options of data loaders that only make sense with worker processes."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader and not loader.get('num_workers', 0):
            loader['persistent_workers'] = False
            loader.pop('prefetch_factor', None)
            loader.pop('timeout', None)  # for a worker to answer


def _fit_machine(cfg: Config) -> None:
    if not torch.cuda.is_available():
        env = cfg.setdefault('env_cfg', {})
        env.setdefault('dist_cfg', {})['backend'] = 'gloo'
        env['cudnn_benchmark'] = False
