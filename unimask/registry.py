"""Registries of unimask: children of MMEngine's, scope ``unimask``.

A config with ``default_scope = 'unimask'`` finds unimask's components by their bare name,
MMEngine's as well, and those of MMDetection and MMSegmentation, where they are installed, by the
prefixes ``mmdet.`` and ``mmseg.``.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine import registry as root

from unimask.errors import UserError
from unimask.stand_ins import STAND_INS
from unimask.utils.extras import library_of, quietly, require

__all__ = [
    'DATASETS', 'DATA_SAMPLERS', 'EVALUATORS', 'HOOKS', 'INFERENCERS', 'LOG_PROCESSORS', 'LOOPS',
    'METRICS', 'MODELS', 'MODEL_WRAPPERS', 'OPTIMIZERS', 'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS', 'PARAM_SCHEDULERS', 'RUNNERS', 'TASK_UTILS', 'TRANSFORMS',
    'VISBACKENDS', 'VISUALIZERS', 'WEIGHT_INITIALIZERS', 'build',
]


class _Registry(root.Registry):
    """Says what to install where a component of an optional library is asked for."""

    def get(self, key: str) -> type | None:
        """The component of this name, with or without prefix; None where there is none.

        Raises:
            UserError: The prefix is that of a library which is not installed, and nothing stands
                in for the component (:mod:`unimask.stand_ins`).
        """
        library = library_of(key)
        if library is None:
            return super().get(key)
        try:
            require(library, owner=key)
        except UserError:
            self.import_from_location()
            if key in STAND_INS:
                return STAND_INS[key]
            raise
        with quietly():
            return super().get(key)


def _child(name: str, parent: root.Registry, *locations: str) -> _Registry:
    return _Registry(name, parent=parent, scope='unimask', locations=list(locations))


MODELS = _child('model', root.MODELS, 'unimask.models')
TASK_UTILS = _child('task util', root.TASK_UTILS, 'unimask.models')
DATASETS = _child('dataset', root.DATASETS, 'unimask.datasets')
TRANSFORMS = _child('transform', root.TRANSFORMS, 'unimask.datasets')
DATA_SAMPLERS = _child('data sampler', root.DATA_SAMPLERS, 'unimask.datasets')
METRICS = _child('metric', root.METRICS, 'unimask.evaluation')
HOOKS = _child('hook', root.HOOKS, 'unimask.engine')
LOOPS = _child('loop', root.LOOPS, 'unimask.engine')
LOG_PROCESSORS = _child('log processor', root.LOG_PROCESSORS, 'unimask.engine')
RUNNERS = _child('runner', root.RUNNERS, 'unimask.engine')
OPTIM_WRAPPERS = _child('optim wrapper', root.OPTIM_WRAPPERS, 'unimask.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optim wrapper constructor', root.OPTIM_WRAPPER_CONSTRUCTORS, 'unimask.engine')
PARAM_SCHEDULERS = _child('parameter scheduler', root.PARAM_SCHEDULERS, 'unimask.engine')
WEIGHT_INITIALIZERS = _child('weight initializer', root.WEIGHT_INITIALIZERS, 'unimask.convert')
VISUALIZERS = _child('visualizer', root.VISUALIZERS, 'unimask.visualization')
INFERENCERS = _child('inferencer', root.INFERENCERS, 'unimask.apis')
# Without children of their own these would make MMEngine warn that the scope has none.
OPTIMIZERS = _child('optimizer', root.OPTIMIZERS, 'unimask.engine')
MODEL_WRAPPERS = _child('model wrapper', root.MODEL_WRAPPERS, 'unimask.engine')
EVALUATORS = _child('evaluator', root.EVALUATOR, 'unimask.evaluation')
VISBACKENDS = _child('visualization backend', root.VISBACKENDS, 'unimask.visualization')


def build(registry: root.Registry, part: Any, **facts: Any) -> Any:
    """A part of a component: objects as they are, configs built.

    Args:
        registry: Where the config's ``type`` is looked up.
        part: An object, None, or a config.
        facts: What the caller knows, such as ``num_classes``. Those that the class has as options
            are filled in where the config does not state them; the others are left out.

    Returns:
        The part.
    """
    if not isinstance(part, Mapping):
        return part
    kind = part.get('type')
    component = registry.get(kind) if isinstance(kind, str) else kind
    options = inspect.signature(component).parameters if callable(component) else {}
    return registry.build({**{name: value for name, value in facts.items() if name in options},
                           **part})
