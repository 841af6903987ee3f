"""Conversion of checkpoints: name maps as data, and the small engine that applies them.

A :class:`NameMap` is a list of rules from names in a *source* (another library's state dict) to
names in unimask. The engine guarantees that every source tensor is used exactly once or ignored
for a stated reason; a name that no rule knows is an error.

Names are written as templates:

=============  =========================================================================
``{i}``        a number
``{x:a|b}``    one of the words ``a`` and ``b`` (the alternatives are regular expressions)
``{x*}``       the rest of the name, any characters, at least one
``[text]``     text that may be absent
=============  =========================================================================

A target may use the fields of its source, numbers with an offset: ``layer{s-1}.{p}``.

The same rules are read from right to left by :mod:`unimask.convert.exporting`. A field that the
target does not use is then written as its first alternative, ``[text]`` is written, and of several
rules for one target the first counts: what a source calls a tensor today comes before older names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from torch import Tensor

from unimask.errors import UserError

__all__ = ['Conversion', 'ConversionError', 'Ignore', 'NameMap', 'Rule', 'apply_map']

StateDict = dict[str, Tensor]
FIELD = re.compile(r'\{(\w+)(?::([^{}]+)|(\*))?\}')
TARGET_FIELD = re.compile(r'\{(\w+)([+-]\d+)?\}')
OPTIONAL = re.compile(r'\[([^\[\]]*)\]')


class ConversionError(UserError):
    """A state dict that cannot be converted; the message names the tensors and the remedy."""


@dataclass(frozen=True)
class Rule:
    """Where a tensor, or several that become one, goes.

    Args:
        source: Template of the source name. A tuple of templates merges tensors that agree in
            the fields into one, e.g. separate query, key and value projections.
        target: Template of the name in unimask.
        function: Makes the target tensor of the source tensors, in the order of ``source``.
            None hands a single tensor on unchanged.
        inverse: Makes the tensors of all ``source`` of the target tensor; None where ``function``
            is, or where there is no way back.
        needs: Template of a name that must exist in the state dict for the rule to apply.
        needs_target: The same for the way back: a name in unimask that must exist.
    """

    source: str | tuple[str, ...]
    target: str
    function: Callable[..., Tensor] | None = None
    inverse: Callable[[Tensor], tuple[Tensor, ...]] | None = None
    needs: str = ''
    needs_target: str = ''

    def __post_init__(self) -> None:
        if len(self.sources) != 1 and self.function is None:
            raise ValueError(f'a rule that merges {self.source} needs a function')

    @property
    def sources(self) -> tuple[str, ...]:
        """The source templates, always as a tuple."""
        return (self.source,) if isinstance(self.source, str) else self.source


@dataclass(frozen=True)
class Ignore:
    """Tensors that the other side does not have, and why that is right.

    Args:
        source: Template of the source name.
        reason: Why nothing is lost, in a few words.
        needs: Template of a name that must exist in the state dict for the rule to apply.
        when: Whether a tensor may be left out, by its values; None for always.
    """

    source: str
    reason: str
    needs: str = ''
    when: Callable[[Tensor], bool] | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The source template, as a tuple like that of a rule."""
        return (self.source,)


@dataclass(frozen=True)
class NameMap:
    """Everything that is known about one source of checkpoints.

    Args:
        name: What ``--source`` calls it.
        signature: Templates of names; a state dict that has a name of any of them is recognised
            as coming from this source.
        rules: Tried in this order; the first that fits a name decides.
        supply: Functions from the converted state dict to tensors that unimask's model has and
            the source has not, such as counters and index tables. They never replace a tensor.
        remarks: Functions from the converted state dict to what its user should know of this file,
            in a sentence; '' if there is nothing.
        fallback: Recognise a state dict only if no other map does: for a source whose names
            overlap with those of others.
        drops: On the way back: tensors of unimask's that the source does not have.
        refused: On the way back: template of names -> the component that the source lacks.
        requires: On the way back: names without which no model of the source is made.
        completes: On the way back: functions from the exported state dict to tensors that the
            source's files have and unimask has not.
        takes: On the way back: maps of :mod:`unimask.convert.maps.timm_backbones` whose backbones
            the source has by timm's names itself.
    """

    name: str
    signature: tuple[str, ...]
    rules: tuple[Rule | Ignore, ...]
    supply: tuple[Callable[[StateDict], StateDict], ...] = ()
    remarks: tuple[Callable[[StateDict], str], ...] = ()
    fallback: bool = False
    drops: tuple[Ignore, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    requires: tuple[str, ...] = ()
    completes: tuple[Callable[[StateDict], StateDict], ...] = ()
    takes: tuple[str, ...] = ()

    def recognises(self, names: Iterable[str]) -> bool:
        """Whether any of the names is typical of this source."""
        return any(fits(template, names) for template in self.signature)


@dataclass(frozen=True)
class Conversion:
    """A converted state dict.

    Args:
        state_dict: Tensors under unimask's names.
        ignored: Source names that were left out, with the reason.
        source: Name of the map that was used.
        supplied: Names in ``state_dict`` that the source did not have.
        remarks: What is unusual about it and what to do, in sentences.
    """

    state_dict: StateDict
    ignored: dict[str, str]
    source: str
    supplied: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@cache
def compile_template(template: str) -> re.Pattern[str]:
    """Regular expression of a source template."""
    parts, last = [], 0
    marks = re.compile(f'{FIELD.pattern}|{OPTIONAL.pattern}')
    for mark in marks.finditer(template):
        parts.append(re.escape(template[last:mark.start()]))
        parts.append(_fragment(mark))
        last = mark.end()
    return re.compile(''.join([*parts, re.escape(template[last:])]))


def _fragment(mark: re.Match[str]) -> str:
    name, optional = mark[1], mark[4]
    if optional is not None:
        return f'(?:{re.escape(optional)})?'
    return f'(?P<{name}>{field_pattern(mark)})'


def field_pattern(mark: re.Match[str]) -> str:
    """Regular expression of what a field of a source template, found by ``FIELD``, stands for."""
    return mark[2] or ('.+' if mark[3] else '[0-9]+')


def fits(template: str, names: Iterable[str]) -> bool:
    """Whether any of the names fits a template."""
    pattern = compile_template(template)
    return any(pattern.fullmatch(name) for name in names)


def fill(template: str, fields: Mapping[str, str]) -> str:
    """Fill the fields of a target template."""
    def value(mark: re.Match[str]) -> str:
        name, offset = mark.groups()
        return str(int(fields[name]) + int(offset)) if offset else fields[name]

    return TARGET_FIELD.sub(value, template)


def apply_map(name_map: NameMap, state_dict: Mapping[str, Tensor]) -> Conversion:
    """Convert a state dict.

    Raises:
        ConversionError: If a name is unknown, two tensors claim one target, or a tensor that is
            to be merged lacks its partners.
    """
    rules = [rule for rule in name_map.rules if not rule.needs or fits(rule.needs, state_dict)]
    ignored: dict[str, str] = {}
    plan: dict[str, tuple[Rule, dict[int, str]]] = {}
    unknown = []
    for name in state_dict:
        match = _first_match(rules, name)
        if match is None:
            unknown.append(name)
        elif isinstance(match[0], Ignore):
            ignored[name] = match[0].reason
        else:
            _enter(plan, name, *match)
    if unknown:
        raise ConversionError(
            f'{len(unknown)} of {len(state_dict)} names are unknown to the source '
            f'"{name_map.name}", for example {", ".join(unknown[:5])}. Is it another source '
            '(--source), or a model that unimask does not have?')
    converted = {target: _make(target, rule, found, state_dict)
                 for target, (rule, found) in plan.items()}
    supplied = _supply(name_map, converted)
    remarks = tuple(filter(None, (remark(converted) for remark in name_map.remarks)))
    return Conversion({**converted, **supplied}, ignored, name_map.name, tuple(supplied), remarks)


def _first_match(rules: list[Rule | Ignore], name: str
                 ) -> tuple[Rule | Ignore, int, dict[str, str]] | None:
    for rule in rules:
        for slot, template in enumerate(rule.sources):
            found = compile_template(template).fullmatch(name)
            if found:
                return rule, slot, found.groupdict()
    return None


def _enter(plan: dict[str, tuple[Rule, dict[int, str]]], name: str, rule: Rule, slot: int,
           fields: dict[str, str]) -> None:
    target = fill(rule.target, fields)
    planned, found = plan.setdefault(target, (rule, {}))
    if planned is not rule or slot in found:
        other = found.get(slot) or next(iter(found.values()))
        raise ConversionError(f'{other} and {name} both become {target}')
    found[slot] = name


def _make(target: str, rule: Rule, found: dict[int, str], state_dict: Mapping[str, Tensor]
          ) -> Tensor:
    missing = [source for slot, source in enumerate(rule.sources) if slot not in found]
    if missing:
        raise ConversionError(
            f'{target} is made of {len(rule.sources)} tensors; {", ".join(found.values())} '
            f'came without a partner of the form {", ".join(missing)}')
    tensors = [state_dict[found[slot]] for slot in range(len(rule.sources))]
    return rule.function(*tensors) if rule.function else tensors[0]


def _supply(name_map: NameMap, converted: StateDict) -> StateDict:
    supplied: StateDict = {}
    for function in name_map.supply:
        supplied.update(function(converted))
    return {name: tensor for name, tensor in supplied.items() if name not in converted}
