"""Values of a peer's JSON file, with messages that name the file and the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unimask.convert.rules import ConversionError

__all__ = ['Values']


class Values:
    """A mapping of a JSON file.

    Args:
        content: The mapping.
        where: File and key, for messages.
    """

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self.content = content
        self.where = where

    def get(self, key: str, default: Any) -> Any:
        """A value, or the default where there is none or one of another type.

        Raises:
            ConversionError: The value has another type than the default.
        """
        value = self.content.get(key)
        if value is None:
            return default
        numbers = isinstance(value, (int, float)) and isinstance(default, (int, float))
        alike = numbers or default is None or isinstance(value, type(default)) or (
            isinstance(value, (list, Mapping, int)) and isinstance(default, (list, tuple, dict)))
        if not alike:
            raise ConversionError(f'{self.where}: {key} is {value!r}, where something like '
                                  f'{default!r} belongs. Is the file damaged?')
        return value

    def part(self, key: str) -> Values:
        """A mapping inside; empty where there is none."""
        return Values(self.get(key, {}), f'{self.where}: {key}')

    def demand(self, key: str, wanted: Any) -> None:
        """Refuse another value than the one that unimask's model has.

        Raises:
            ConversionError: There is another.
        """
        value = self.content.get(key, wanted)
        if value != wanted and value is not None:
            raise ConversionError(f'{self.where}: {key} is {value!r}, which no model of unimask '
                                  f'has; {wanted!r} can be converted.')
