"""What components say about themselves, so that nobody else need know them by name.

A component states a fact as a class attribute, a tuple of names of its own parameters and
submodules:

- ``class_parameters``: their size depends on the number of classes;
- ``fresh_parameters``: ImageNet weights do not have them;
- ``undecayed``: they are kept from weight decay.

``optional_parameters`` is a dictionary: the part of such a name -> the option without which the
component does not have it.

For classes of other libraries the same facts stand in one table here.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

__all__ = ['is_under', 'named_by', 'switches']

_OUTPUT_NORMS = ('norm0', 'norm1', 'norm2', 'norm3')  # of the maps that dense prediction takes
_FOREIGN: dict[str, dict[str, tuple[str, ...]]] = {
    'mmdet.SwinTransformer': dict(fresh_parameters=_OUTPUT_NORMS),
    'mmseg.SwinTransformer': dict(fresh_parameters=_OUTPUT_NORMS),
}


def named_by(model: nn.Module, fact: str) -> tuple[str, ...]:
    """Full names of the parameters and submodules that the parts of a model name for a fact."""
    return tuple(f'{path}.{name}' if path else name
                 for path, part in model.named_modules() for name in _said_by(type(part), fact))


def is_under(name: str, places: Iterable[str]) -> bool:
    """Whether a parameter is one of some places in a model, or below one."""
    return any(name == place or name.startswith(f'{place}.') for place in places)


def switches(model: nn.Module, names: Iterable[str], *, on: bool) -> list[str]:
    """Options that give a model some parameters, or take them from it.

    Args:
        model: The model.
        names: Parameters that a checkpoint has and the model has not (``on``), or the reverse.
        on: Whether the model shall have them.

    Returns:
        Such as ``head.query_position=True``, by the name of the part in the model.
    """
    names = list(names)
    found = []
    for path, part in model.named_modules():
        for name, option in getattr(type(part), 'optional_parameters', {}).items():
            place = f'{path}.{name}' if path else name
            if any(is_under(each, [place]) for each in names):
                found.append(f'{path}.{option}={on}' if path else f'{option}={on}')
    return found


def _said_by(kind: type, fact: str) -> tuple[str, ...]:
    """What a class says itself, or what the table says of it or of a class that it extends."""
    said = getattr(kind, fact, None)
    if said is not None:
        return said
    known = (_FOREIGN.get(f'{base.__module__.partition(".")[0]}.{base.__name__}')
             for base in kind.__mro__)
    return next((facts[fact] for facts in known if facts and fact in facts), ())
