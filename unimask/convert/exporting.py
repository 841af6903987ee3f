"""The way back: unimask's names to those of a peer, by the same rules read from right to left."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from torch import Tensor

from unimask.convert.maps import get_map
from unimask.convert.maps.timm_backbones import TIMM_RESNET, TIMM_SWIN
from unimask.convert.rules import (
    FIELD,
    OPTIONAL,
    TARGET_FIELD,
    Conversion,
    ConversionError,
    Ignore,
    NameMap,
    Rule,
    StateDict,
    apply_map,
    compile_template,
    field_pattern,
    fits,
)

__all__ = ['PEERS', 'export', 'is_own']

PEERS = ('huggingface', 'detectron2', 'mmdet', 'mmseg')
_PARTS = ('backbone.', 'neck.', 'head.', 'auxiliary.')


def is_own(names: Iterable[str]) -> bool:
    """Whether names are those of a whole model of unimask's."""
    return {'backbone', 'head'} <= {name.partition('.')[0] for name in names} and not any(
        not name.startswith(_PARTS) for name in names)


def export(state_dict: Mapping[str, Tensor], peer: str) -> Conversion:
    """Convert a state dict of unimask's to a peer's names.

    Args:
        state_dict: All weights of a model.
        peer: One of :data:`PEERS`.

    Returns:
        The peer's state dict; ``ignored`` are the names of unimask's that the peer has no need of.

    Raises:
        ConversionError: The peer has no place for a tensor; says which component that is of.
    """
    name_map = get_map(peer)
    return export_by(name_map, _as_known(name_map, state_dict))


def _as_known(name_map: NameMap, state_dict: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """A backbone of timm under the names of MMDetection's equal one, which the maps know."""
    for twin in (TIMM_RESNET, TIMM_SWIN):
        if twin.name not in name_map.takes and twin.recognises(state_dict):
            with suppress(ConversionError):  # another ResNet, which has no equal there
                return apply_map(twin, state_dict).state_dict
    return state_dict


def export_by(name_map: NameMap, state_dict: Mapping[str, Tensor]) -> Conversion:
    """The same by a name map."""
    lacking = [name for name in name_map.requires if name not in state_dict]
    if lacking:
        raise ConversionError(f'{name_map.name} cannot express this model: its models all have '
                              f'something like {lacking[0]}, which this one has not')
    ways = _ways(name_map, state_dict)
    exported: StateDict = {}
    ignored: dict[str, str] = {}
    homeless = []
    for name, tensor in state_dict.items():
        drop = _drop(name_map, name, tensor)
        way = next(filter(None, (each.match(name) for each in ways)), None)
        if drop is not None:
            ignored[name] = drop.reason
        elif way is None or _refusal(name_map, name):
            homeless.append(name)
        else:
            _put(exported, *way, tensor)
    if homeless:
        raise ConversionError(_homeless_message(name_map, homeless, len(state_dict)))
    added = {name: tensor for function in name_map.completes
             for name, tensor in function(exported).items() if name not in exported}
    return Conversion({**exported, **added}, ignored, name_map.name, tuple(added))


@dataclass(frozen=True)
class _Way:
    """A rule, read from right to left.

    Attributes:
        pattern: Of names in unimask.
        offsets: What the rule adds to numbers of the source, by field.
        rule: The rule.
    """

    pattern: re.Pattern[str]
    offsets: dict[str, int]
    rule: Rule

    def match(self, name: str) -> tuple[Rule, tuple[str, ...]] | None:
        """The rule and the names that a tensor gets by it; None where it does not fit."""
        found = self.pattern.fullmatch(name)
        if found is None:
            return None
        fields = {key: str(int(value) - self.offsets[key]) if self.offsets[key] else value
                  for key, value in found.groupdict().items()}
        return self.rule, tuple(_render(source, fields) for source in self.rule.sources)


def _ways(name_map: NameMap, names: Iterable[str]) -> list[_Way]:
    names = list(names)
    needs = {rule.needs_target for rule in name_map.rules if isinstance(rule, Rule)}
    given = {need for need in needs if not need or fits(need, names)}
    return [_reverse(rule) for rule in name_map.rules
            if isinstance(rule, Rule) and rule.needs_target in given
            and (rule.function is None) == (rule.inverse is None)]


@cache
def _reverse(rule: Rule) -> _Way:
    defined = {mark[1]: field_pattern(mark) for source in rule.sources
               for mark in FIELD.finditer(source)}
    offsets: dict[str, int] = {}
    parts, last = [], 0
    for mark in TARGET_FIELD.finditer(rule.target):
        name, offset = mark.groups()
        parts += [re.escape(rule.target[last:mark.start()]),
                  f'(?P<{name}>{r"[0-9]+" if offset else defined[name]})']
        offsets[name] = int(offset or 0)
        last = mark.end()
    return _Way(re.compile(''.join([*parts, re.escape(rule.target[last:])])), offsets, rule)


def _render(source: str, fields: Mapping[str, str]) -> str:
    """A source name: fields filled in, those that are free by their first alternative."""
    def value(mark: re.Match[str]) -> str:
        return fields[mark[1]] if mark[1] in fields else (mark[2] or '').partition('|')[0]

    return OPTIONAL.sub(r'\1', FIELD.sub(value, source))


def _put(exported: StateDict, rule: Rule, names: tuple[str, ...], tensor: Tensor) -> None:
    tensors = (tensor,) if rule.inverse is None else rule.inverse(tensor)
    exported.update(zip(names, tensors, strict=True))


def _drop(name_map: NameMap, name: str, tensor: Tensor) -> Ignore | None:
    return next((drop for drop in name_map.drops if compile_template(drop.source).fullmatch(name)
                 and (drop.when is None or drop.when(tensor))), None)


def _refusal(name_map: NameMap, name: str) -> str:
    return next((component for template, component in name_map.refused
                 if compile_template(template).fullmatch(name)), '')


def _homeless_message(name_map: NameMap, names: list[str], total: int) -> str:
    parts = dict.fromkeys(name.partition('.')[0] for name in names)
    known = dict.fromkeys(filter(None, (_refusal(name_map, name) for name in names)))
    which = ', '.join(known) or ', '.join(f'model.{part}' for part in parts)
    return (f'{name_map.name} cannot express this model: it has nothing like {which} '
            f'({len(names)} of {total} tensors have no place there, for example {names[0]})')
