"""Finds misspelt components and options in a config before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import Registry, root
from torch.utils.data import DataLoader

import unimask.registry as registries
from unimask.errors import UserError, did_you_mean

__all__ = ['check_components', 'find_component', 'is_registered', 'options_of', 'walk']

# Keys that builders take out of a config before the component sees it.
_BUILDER_KEYS = {'type', '_scope_', 'priority', 'init_cfg', '_delete_', 'constructor',
                 'paramwise_cfg', 'convert_to_iter_based'}
# Parts of a config whose options are checked; elsewhere builders add and remove keys of their own.
_CHECKED = ('model', 'train_dataloader.dataset', 'val_dataloader.dataset',
            'test_dataloader.dataset', 'val_evaluator', 'test_evaluator', 'custom_hooks',
            'default_hooks', 'tta_model')
# The same, where classes hand options on to the class that they extend.
_CHECKED_THROUGH = ('optim_wrapper', 'param_scheduler', 'train_cfg', 'val_cfg', 'test_cfg',
                    'train_dataloader.', 'val_dataloader.', 'test_dataloader.')
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_LOADER_OPTIONS = {*inspect.signature(DataLoader).parameters, 'num_batch_per_epoch', '_delete_'}
# Contents that only look like components, or that builders treat specially.
_OPAQUE = ('metainfo', 'taxonomy', 'norm_cfg', 'conv_cfg', 'act_cfg', 'init_cfg')


def find_component(name: Any) -> Callable | None:
    """The class or function registered under a name in any registry; None if there is none.

    Raises:
        UserError: The name has the prefix of a library that is not installed.
    """
    if not isinstance(name, str):
        return name if callable(name) else None
    for registry in _registries():
        try:
            found = registry.get(name)
        except UserError:
            raise
        except (ImportError, KeyError, ValueError):
            continue
        if found is not None:
            return found
    return None


def is_registered(name: Any) -> bool:
    """Whether a registry holds exactly this name.

    MMEngine's registries, and so :func:`find_component`, take a dotted name for a Python object
    and import it; this does not, so that it can judge names from a stranger's file.
    """
    if not isinstance(name, str):
        return False
    scope, _, bare = name.rpartition('.')
    for registry in _registries():
        home = registry.children.get(scope) if scope else registry
        if home is not None:
            home.import_from_location()
            if bare in home.module_dict:
                return True
    return False


def options_of(component: Callable) -> set[str] | None:
    """Names of the options of a component; None when it takes any."""
    if inspect.isclass(component) and issubclass(component, BaseDataset):
        return _options_through(component)
    try:
        parameters = inspect.signature(component).parameters
    except (TypeError, ValueError):
        return None
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return None
    return set(parameters)


def _options_through(component: Callable) -> set[str] | None:
    """Options of a class and of those that it hands what it does not know; None for any."""
    names: set[str] = set()
    for kind in getattr(component, '__mro__', (component,)):
        if inspect.isclass(kind) and '__init__' not in vars(kind):
            continue
        parameters = inspect.signature(kind.__init__ if inspect.isclass(kind) else kind).parameters
        names |= set(parameters)
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            return names
    return None


def walk(node: Any, path: str = '') -> Iterator[tuple[str, dict]]:
    """Every dictionary of a config with its key path, such as ``model.head``."""
    if isinstance(node, (dict, Config)):
        if isinstance(node, dict):
            yield path, node
        for key, value in node.items():
            yield from walk(value, f'{path}.{key}' if path else str(key))
    elif isinstance(node, (list, tuple)):
        for number, value in enumerate(node):
            yield from walk(value, f'{path}.{number}')


def check_components(cfg: Config) -> None:
    """Raise on the first unknown component or option of a config.

    Raises:
        UserError: With the key and the names that come close.
    """
    for key, value in cfg.items():
        if not key.startswith('_'):
            _check(value, key)
    for name in _LOADERS:
        for key in cfg.get(name) or ():
            if key not in _LOADER_OPTIONS:
                raise UserError(f'{name}.{key}: a data loader has no option {key!r}.'
                                f'{did_you_mean(key, _LOADER_OPTIONS)}')


def _check(node: Any, path: str) -> None:
    if path.rsplit('.', 1)[-1] in _OPAQUE:
        return
    if isinstance(node, dict):
        if isinstance(node.get('type'), str):
            _check_one(node, path)
        for key, value in node.items():
            _check(value, f'{path}.{key}')
    elif isinstance(node, (list, tuple)):
        for number, value in enumerate(node):
            _check(value, f'{path}.{number}')


def _check_one(node: dict, path: str) -> None:
    component = find_component(node['type'])
    if component is None:
        raise UserError(
            f'{path}.type: nothing is registered as {node["type"]!r}.'
            f'{did_you_mean(node["type"], _all_names())} A component of your own is registered '
            'by importing its module: custom_imports = dict(imports=[...]).')
    options = (options_of(component) if path.startswith(_CHECKED) else
               _options_through(component) if path.startswith(_CHECKED_THROUGH) else None)
    if options is None:
        return
    for key in node:
        if key not in options and key not in _BUILDER_KEYS:
            raise UserError(f'{path}.{key}: {node["type"]} has no option {key!r}.'
                            f'{did_you_mean(key, options)}')


def _registries() -> list[Registry]:
    ours = [value for value in vars(registries).values() if isinstance(value, Registry)]
    roots = [value for value in vars(root).values() if isinstance(value, Registry)]
    return ours + roots


def _all_names() -> set[str]:
    names: set[str] = set()
    for registry in _registries():
        names.update(registry.module_dict)
        for scope, child in registry.children.items():
            names.update(name if scope == 'unimask' else f'{scope}.{name}'
                         for name in child.module_dict)
    return names
