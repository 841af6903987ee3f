"""What the values of label maps mean."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from unimask.errors import UserError

__all__ = ['IGNORED', 'Meaning', 'meaning_of']

IGNORED = 255
_MOST = 254  # classes that can be told apart without being named


@dataclass(frozen=True)
class Meaning:
    """Classes, and the label of every value.

    Attributes:
        classes: Their names, by label.
        file_labels: Label by value; None where the values are labels already.
        note: What was assumed, for people.
    """

    classes: tuple[str, ...]
    file_labels: dict[int, int] | None = None
    note: str | None = None


def meaning_of(values: Collection[int], names: Sequence[str] | None, *, folder: Path) -> Meaning:
    """The meaning of the values that occur in all label maps together.

    Args:
        values: All that occur.
        names: Of the classes, if the data have a list of them.
        folder: The data, for messages.

    Raises:
        UserError: The values do not fit the names.
    """
    values = set(values)
    return _unnamed(values, folder) if names is None else _named(values, tuple(names), folder)


def _named(values: set[int], names: tuple[str, ...], folder: Path) -> Meaning:
    count, shown = len(names), sorted(values - {IGNORED})
    if values <= {0, IGNORED} and IGNORED in values and count <= 2:
        return _two(names, IGNORED)
    if count == 1 and values <= {0, 1, IGNORED} and 1 in values:
        return _two(names, 1)
    if all(value < count for value in shown):
        return Meaning(names)
    if max(shown) == count and not _is_background(names[0]):
        return Meaning(names, {0: IGNORED} | {value: value - 1 for value in range(1, count + 1)},
                       f'the values 1 to {count} are the classes of the list, 0 is ignored')
    wrong = [value for value in shown if value >= count]
    raise UserError(f'The label maps of {folder} have the values {_some(wrong)}, but the list of '
                    f'classes has {count} names (0 is {names[0]!r}, {count - 1} is {names[-1]!r}, '
                    '255 is ignored). Complete the list, or save the maps anew.')


def _two(names: tuple[str, ...], foreground: int) -> Meaning:
    classes = names if len(names) == 2 else ('background', *names)
    note = f'{foreground} is {classes[1]!r}, 0 is {classes[0]!r}'
    return Meaning(classes, {foreground: 1} if foreground != 1 else None, note)


def _unnamed(values: set[int], folder: Path) -> Meaning:
    advice = 'a file classes.txt with a name to a line, in the order of the values, names them'
    if values in ({0, 1}, {0, IGNORED}):
        meaning = _two(('background', 'foreground'), max(values))
        return Meaning(meaning.classes, meaning.file_labels, f'{meaning.note}; {advice}')
    shown = sorted(values - {IGNORED})
    if not shown:
        raise UserError(f'The label maps of {folder} have no value but 255, which means "ignored": '
                        'there is nothing to learn.')
    if len(shown) > _MOST:
        raise UserError(f'The label maps of {folder} have {len(shown)} different values '
                        f'({_some(shown)}): they look like pictures or depths, not like classes.')
    classes = tuple(f'class_{value}' for value in shown)
    if shown == list(range(len(shown))):
        return Meaning(classes, None, advice)
    return Meaning(classes, {value: label for label, value in enumerate(shown)},
                   f'the values {_some(shown)} became {len(shown)} classes; {advice}')


def _is_background(name: str) -> bool:
    return name.lower().strip('_') in ('background', 'bg', 'unlabelled', 'unlabeled', 'void')


def _some(values: Sequence[int]) -> str:
    return ', '.join(map(str, values[:8])) + (' ...' if len(values) > 8 else '')
