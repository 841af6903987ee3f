"""Parts of a model that do not learn."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from unimask.errors import UserError, did_you_mean

__all__ = ['freeze']


def freeze(model: nn.Module, names: Sequence[str]) -> tuple[nn.Module, ...]:
    """Keep parts of a model as they are.

    Args:
        model: Its parameters with these names, or in modules with these names, get no gradient.
        names: Of modules or parameters, as in a checkpoint: ``backbone``, ``neck.input_convs``,
            ``head.query_feat.weight``.

    Returns:
        The frozen modules: their dropout and batch statistics are to stay off in training too.

    Raises:
        UserError: ``names`` is a text, the model has no such part, or nothing is left to learn.
    """
    if isinstance(names, str):
        raise UserError(f'model.frozen is the text {names!r}; it is a list of names: [{names!r}]')
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    for name in names:
        if name not in modules and name not in parameters:
            raise UserError(f'model.frozen: the model has no part {name!r}.'
                            f'{did_you_mean(name, [*modules, *parameters])}')
    frozen = tuple(modules[name] for name in names if name in modules)
    for part in (*frozen, *(parameters[name] for name in names if name in parameters)):
        part.requires_grad_(False)
    if names and not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(f'model.frozen: with {", ".join(names)} nothing is left to learn. Leave '
                        'out a part.')
    return frozen
