"""The config that a checkpoint carries, read without running any of it.

A checkpoint of ``tools/train.py`` stores its config as Python text. MMEngine would execute such a
text, and a checkpoint may come from a stranger, so three things are kept from it:

- the text is only parsed; nothing but ``name = value`` with plain values, lists, tuples,
  dictionaries and ``dict(...)`` is accepted;
- of the config only the model and the test pipeline are taken, without ``custom_imports`` and
  without names of weights: those are in the checkpoint;
- every ``type`` must be a registered name. MMEngine's registries would also import any Python
  object by a dotted name, ``dict(type='os.system', command=...)``.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from unimask.errors import UserError
from unimask.literals import plain_value
from unimask.preflight.components import is_registered
from unimask.utils.extras import library_of, require

__all__ = ['parse_config', 'stored_config']

# Options that name weights, which a backbone would look for on this machine or on the network.
_WEIGHTS = ('init_cfg', 'pretrained', 'pretrained_cfg', 'pretrained_cfg_overlay', 'checkpoint',
            'checkpoint_path')
_LOADERS = ('LoadImage', 'LoadImageFromFile')
_SCOPES = ('unimask', 'mmdet', 'mmseg', 'mmcv', 'mmengine')


def stored_config(checkpoint: Mapping[str, Any], *, path: str) -> Config:
    """Model and test pipeline of the config in a checkpoint.

    Args:
        checkpoint: Its content.
        path: Where it came from, for messages.

    Raises:
        UserError: It stores no config, or one that is not accepted.
    """
    meta = checkpoint.get('meta')
    text = meta.get('cfg') if isinstance(meta, Mapping) else None
    if not isinstance(text, str) or not text.strip():
        raise UserError(f'{path} does not say which config it was trained with: name the config '
                        'before the checkpoint.')
    try:
        return _chosen(parse_config(text))
    except UserError as error:
        raise UserError(f'the config stored in {path} is not used: {error} Name a config file '
                        'that you trust before the checkpoint.') from error


def parse_config(text: str) -> dict[str, Any]:
    """Values of the assignments in a Python text, without running it.

    Raises:
        UserError: The text holds anything but assignments of plain values.
    """
    try:
        body = ast.parse(text).body
        return {_name(statement): plain_value(statement.value) for statement in body}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise UserError(f'{error or type(error).__name__}.') from error


def _name(statement: ast.stmt) -> str:
    if (isinstance(statement, ast.Assign) and len(statement.targets) == 1
            and isinstance(statement.targets[0], ast.Name)):
        return statement.targets[0].id
    raise ValueError(f'line {statement.lineno} is no plain "name = value"')


def _chosen(config: Mapping[str, Any]) -> Config:
    loader = config.get('test_dataloader') or config.get('val_dataloader')
    model = config.get('model')
    if not isinstance(model, dict) or not isinstance(loader, dict):
        raise UserError('it has no model or no test_dataloader.')
    chosen = dict(model=_without_weights(model), test_dataloader=dict(
        dataset=dict(type='SemanticDataset', pipeline=_pipeline(loader))))
    _check_names(chosen, 'config')
    return Config(chosen)


def _pipeline(loader: dict) -> list:
    dataset = loader.get('dataset')
    while isinstance(dataset, dict) and 'pipeline' not in dataset:
        dataset = dataset.get('dataset')
    if not isinstance(dataset, dict) or not isinstance(dataset['pipeline'], (list, tuple)):
        raise UserError('its test_dataloader has no pipeline.')
    return [step for step in dataset['pipeline'] if not _reads_something_else(step)]


def _reads_something_else(step: Any) -> bool:
    """Loaders other than those of plain pictures; some of mmseg's unpickle what they read."""
    name = str(step.get('type') if isinstance(step, dict) else step).rpartition('.')[2]
    return 'Load' in name and name not in _LOADERS


def _without_weights(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_weights(value) for key, value in node.items()
                if key not in _WEIGHTS}
    if isinstance(node, (list, tuple)):
        return type(node)(_without_weights(item) for item in node)
    return node


def _check_names(node: Any, where: str) -> None:
    if isinstance(node, dict):
        if 'type' in node and not is_registered(node['type']):
            if library_of(node['type']):
                require(library_of(node['type']), owner=f'{where}.type, {node["type"]},')
            raise UserError(f'{where}.type is {node["type"]!r}, which is no registered component.')
        if isinstance(node.get('taxonomy'), str) and not is_registered(node['taxonomy']):
            raise UserError(f'{where}.taxonomy is {node["taxonomy"]!r}, which is no registered '
                            'dataset.')
        if node.get('_scope_', 'unimask') not in _SCOPES:
            raise UserError(f'{where}._scope_ is {node["_scope_"]!r}.')
        for key, value in node.items():
            _check_names(value, f'{where}.{key}')
    elif isinstance(node, (list, tuple, set)):
        for number, value in enumerate(node):
            _check_names(value, f'{where}.{number}')
