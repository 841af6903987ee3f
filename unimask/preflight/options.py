"""Changing a config from the command line."""

from __future__ import annotations

import inspect
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from unimask.errors import UserError, did_you_mean
from unimask.preflight.components import find_component, options_of
from unimask.preflight.settings import SETTINGS, set_everywhere

__all__ = ['KNOWN_KEYS', 'apply_options']

# What the runner reads of a config.
_RUNNER_KEYS = tuple(inspect.signature(Runner.__init__).parameters)
_OTHER_KEYS = ('find_unused_parameters', 'model_wrapper_cfg', 'tta_model', 'tta_pipeline',
               'trust_checkpoint', 'sync_bn', 'activation_checkpointing', 'compile')
KNOWN_KEYS = {*_RUNNER_KEYS, *_OTHER_KEYS, *SETTINGS}
# Other names of settings.
_LONG_NAMES = {'train_cfg.max_iters': 'max_iters'}
# What files of this library call things for themselves -> what has been made from it.
_VARIABLES = {
    'dataset_type': 'train_dataloader.dataset.type and the like',
    'encoder': 'model.backbone and model.init_cfg',
    'labels': 'model.taxonomy and model.test_cfg',
    'test_pipeline': 'val_dataloader.dataset.pipeline and test_dataloader.dataset.pipeline',
    'train_pipeline': 'train_dataloader.dataset.pipeline',
}


def apply_options(cfg: Config, options: dict[str, Any]) -> None:
    """Change keys of a config; settings first, then the places that are named one by one.

    Args:
        cfg: Config; it is changed.
        options: ``{'a.b.c': value}`` as given with ``--cfg-options``.

    Raises:
        UserError: An option names nothing that anything would read, or has no effect.
    """
    for key in options:
        _check_option(cfg, key, options)
    for key, value in options.items():
        name = _LONG_NAMES.get(key, key)
        if name in SETTINGS:
            set_everywhere(cfg, name, value)
    cfg.merge_from_dict({key: value for key, value in options.items() if key not in SETTINGS})


def _check_option(cfg: Config, key: str, options: dict[str, Any]) -> None:
    """Raise when a dotted key names nothing that the config or a component would read.

    A component may be one that another of the options puts there.
    """
    node: Any = cfg
    parts = key.split('.')
    if parts[0] in _VARIABLES and parts[0] in cfg:
        raise UserError(f'--cfg-options {key}: {parts[0]} is a variable of the config file, which '
                        f'nothing reads afterwards. Change {_VARIABLES[parts[0]]}.')
    for depth, part in enumerate(parts):
        where = '.'.join(parts[:depth]) or 'the config'
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise UserError(f'--cfg-options {key}: {where} is a list of {len(node)} items, '
                                f'its items are named 0 to {len(node) - 1}.')
            node = node[int(part)]
            continue
        if not isinstance(node, (dict, Config)):
            return  # a new dictionary takes the place of a value
        if part in node:
            node = node[part]
            continue
        known = KNOWN_KEYS if depth == 0 else _keys_of(options.get(f'{where}.type',
                                                                   node.get('type')))
        if known is not None and part not in known:
            choices = {*node, *known}
            raise UserError(f'--cfg-options {key}: {where} has no key {part!r}.'
                            f'{did_you_mean(part, choices)}')
        return


def _keys_of(component: Any) -> set[str] | None:
    """Options of a component by its name; None where anything may be."""
    found = None if component is None else find_component(component)
    return None if found is None else options_of(found)
