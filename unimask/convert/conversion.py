"""Convert the state dicts of other libraries to unimask's names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from unimask.convert.maps import NAME_MAPS, get_map
from unimask.convert.rules import Conversion, ConversionError, NameMap, apply_map

__all__ = ['convert', 'convert_state_dict', 'detect_source']


def convert_state_dict(state_dict: Mapping[str, Tensor], source: str | NameMap | None = None
                       ) -> dict[str, Tensor]:
    """Convert a state dict to unimask's names.

    Args:
        state_dict: Tensors under the names of the source, without wrapper keys such as
            ``model``. Tensors may be on the ``meta`` device.
        source: Where the names come from, one of :data:`unimask.convert.SOURCES`, or a name map
            of your own; None recognises it by the names.

    Returns:
        What ``load_state_dict(strict=True)`` of the matching model takes. Files with a backbone
        alone give names that start with ``backbone.``.

    Raises:
        ConversionError: If the source is not recognised or a name is unknown to it.
    """
    return convert(state_dict, source).state_dict


def convert(state_dict: Mapping[str, Tensor], source: str | NameMap | None = None) -> Conversion:
    """Like :func:`convert_state_dict`, with what was ignored and why."""
    if not isinstance(source, NameMap):
        source = get_map(source or detect_source(state_dict))
    return apply_map(source, state_dict)


def detect_source(state_dict: Mapping[str, Tensor]) -> str:
    """Name the source of a state dict by its parameter names.

    Raises:
        ConversionError: If no source or more than one fits.
    """
    maps = [get_map(source) for source in NAME_MAPS]
    found = [each for each in maps if each.recognises(state_dict)]
    specific = [each for each in found if not each.fallback] or found
    if len(specific) == 1:
        return specific[0].name
    if specific:
        raise ConversionError(
            f'the names fit several sources: {", ".join(each.name for each in specific)}. '
            'Say which one (--source)')
    examples = ', '.join(list(state_dict)[:3]) or 'none, the state dict is empty'
    raise ConversionError(
        f'no known source has such names: {examples}. Known sources (--source): '
        f'{", ".join(NAME_MAPS)}. {_own_names(state_dict)}')


def _own_names(state_dict: Mapping[str, Tensor]) -> str:
    own = any(name.startswith(('head.', 'neck.', 'backbone.')) for name in state_dict)
    return "Names that are unimask's own already need no conversion" if own else ''
