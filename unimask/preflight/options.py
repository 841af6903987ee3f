"""Changing a config from the command line."""
from __future__ import annotations

import inspect
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from unimask.errors import UserError, did_you_mean
from unimask.preflight.components import find_component, options_of

__all__ = ['KNOWN_KEYS', 'apply_options']

# What the runner reads of a config.
_RUNNER_KEYS = tuple(inspect.signature(Runner.__init__).parameters)
_OTHER_KEYS = ('data_root', 'find_unused_parameters', 'model_wrapper_cfg', 'tta_model',
               'trust_checkpoint', 'sync_bn', 'activation_checkpointing', 'compile')
KNOWN_KEYS = {*_RUNNER_KEYS, *_OTHER_KEYS}


def apply_options(cfg: Config, options: dict[str, Any]) -> None:
    """Change keys of a config, refusing names that nothing would read."""
    old_root = cfg.get('data_root')
    old_iters = (cfg.get('train_cfg') or {}).get('max_iters')
    for key in options:
        _check_option(cfg, key)
    cfg.merge_from_dict(options)
    if 'data_root' in options and old_root:
        for name in list(cfg):
            if name.endswith(('_dataloader', '_evaluator')):
                cfg[name] = _moved(cfg[name], str(old_root), str(cfg.data_root))
    wanted = options.get('max_iters', options.get('train_cfg.max_iters'))
    if wanted and old_iters:
        _change_length(cfg, old_iters, wanted)


def _change_length(cfg: Config, old: int, new: int) -> None:
    """What the config made of the number of iterations follows it; milestones stay."""
    cfg.max_iters = cfg.train_cfg.max_iters = new
    if cfg.train_cfg.get('val_interval') == old:
        cfg.train_cfg.val_interval = new
    for scheduler in cfg.get('param_scheduler') or []:
        # One later, since MMEngine reaches the end value an iteration early.
        if scheduler.get('end') == old + 1:
            scheduler.end = new + 1


def _check_option(cfg: Config, key: str) -> None:
    """Raise when a dotted key names nothing that the config or a component would read."""
    node: Any = cfg
    parts = key.split('.')
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
        known = _known_keys(node, top=depth == 0)
        if known is not None and part not in known:
            choices = {*node, *known}
            raise UserError(f'--cfg-options {key}: {where} has no key {part!r}.'
                            f'{did_you_mean(part, choices)}')
        return


def _known_keys(node: dict, *, top: bool) -> set[str] | None:
    """Keys that may be added to a dictionary of a config; None where anything may be."""
    if top:
        return KNOWN_KEYS
    if 'type' not in node:
        return None
    component = find_component(node['type'])
    return None if component is None else options_of(component)


def _moved(value: Any, old: str, new: str) -> Any:
    """A nested value with the paths below one folder moved to another."""
    if isinstance(value, dict):
        for key in value:
            value[key] = _moved(value[key], old, new)
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(item, old, new) for item in value)
    if not isinstance(value, str):
        return value
    old = old.rstrip('/')
    if value.rstrip('/') == old:
        return new
    if value.startswith(f'{old}/'):
        return f'{new.rstrip("/")}/{value[len(old) + 1:]}'
    return value
