"""Does a checkpoint fit the model? Said in the user's words before anything is loaded."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Set
from dataclasses import dataclass

import torch
from mmengine.logging import print_log
from torch import nn

from unimask.convert import ConversionError, as_in, convert
from unimask.errors import UserError
from unimask.metadata import is_under, named_by, switches

__all__ = ['StateReport', 'check_state', 'compare_state', 'load_state']


@dataclass(frozen=True)
class StateReport:
    """Differences between a checkpoint and a model.

    Attributes:
        missing: Names that only the model has.
        unexpected: Names that only the checkpoint has.
        mismatched: name -> (shape in the checkpoint, shape in the model).
        class_count: Mismatched names whose shapes differ by the number of classes alone.
        complex_values: Names whose complex values a real parameter cannot take.
        shared: Number of names that both have.
        options: Of the config, by which the model would have what only the checkpoint has, or go
            without what only the model has.
    """

    missing: list[str]
    unexpected: list[str]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    class_count: list[str]
    complex_values: list[str]
    shared: int
    options: list[str]


def compare_state(state: Mapping[str, torch.Tensor], model: nn.Module) -> StateReport:
    """Compare names and shapes of a state dict with those of a model."""
    ours = model.state_dict()
    shared = state.keys() & ours.keys()
    mismatched = {
        name: (tuple(state[name].shape), tuple(ours[name].shape)) for name in ours
        if name in shared and state[name].shape != ours[name].shape}
    of_classes = named_by(model, 'class_parameters')
    missing = [name for name in ours if name not in shared]
    unexpected = [name for name in state if name not in shared]
    return StateReport(
        missing=missing,
        unexpected=unexpected,
        mismatched=mismatched,
        class_count=[name for name, (theirs, own) in mismatched.items()
                     if theirs[1:] == own[1:] and is_under(name, of_classes)],
        complex_values=[name for name in shared
                        if state[name].is_complex() and not ours[name].is_complex()],
        shared=len(shared),
        options=[f'model.{option}' for option in (
            *switches(model, unexpected, on=True), *switches(model, missing, on=False))])


def load_state(state: Mapping[str, torch.Tensor], model: nn.Module, *, path: str,
               fine_tune: bool = False) -> None:
    """Load a state dict into a model, or say why it does not fit.

    A checkpoint of another library is converted first; the names of MMDetection's ResNet and Swin
    and those of timm's stand for each other.

    Args:
        state: Names and tensors.
        model: The model.
        path: Where the state came from, for messages.
        fine_tune: Start of a new training: parameters that depend on the number of classes
            stay as initialised when the number differs, missing ones too, and a warning names
            them. Otherwise every name and shape must agree.

    Raises:
        UserError: The checkpoint does not fit.
    """
    names = model.state_dict().keys()
    state = as_in(names, state)
    report = compare_state(state, model)
    if _is_foreign(state, names):
        state = as_in(names, _converted(state, report, path))
        report = compare_state(state, model)
        if not report.shared:
            raise UserError(f'nothing of {path} occurs in the model, also after converting it: it '
                            f'has {_some(report.unexpected)}; the model {_some(report.missing)}.')
    fresh = report.class_count if fine_tune else []
    if fine_tune:
        _check_shapes(report, fresh, path)
        _warn_fine_tune(report, fresh, path)
    else:
        _check_all(report, path)
    kept = {name: value for name, value in state.items() if name not in fresh}
    model.load_state_dict(kept, strict=False)


def _is_foreign(state: Mapping[str, torch.Tensor], names: Set[str]) -> bool:
    """Whether the names are another library's, whose backbones may be called as here."""
    own_parts = {name for name in state if not name.startswith('backbone.')} or state.keys()
    return names.isdisjoint(own_parts)


def check_state(state: Mapping[str, torch.Tensor], model: nn.Module, *, path: str) -> None:
    """Say why a state dict does not fit a model, which may be on the ``meta`` device.

    Raises:
        UserError: A name or shape differs.
    """
    _check_all(compare_state(state, model), path)


def _check_all(report: StateReport, path: str) -> None:
    _check_shapes(report, [], path)
    if report.missing or report.unexpected:
        raise UserError(_names_message(report, path))


def _converted(state: Mapping[str, torch.Tensor], report: StateReport, path: str
               ) -> dict[str, torch.Tensor]:
    try:
        conversion = convert(state)
    except ConversionError as error:
        if report.shared:
            return dict(state)
        raise UserError(
            f'no parameter name of {path} occurs in the model (it starts with '
            f'{_some(report.unexpected)}; the model with {_some(report.missing)}), and it cannot '
            f'be converted (tools/model_converters/convert.py): {error}') from error
    print_log(f'{path} has the names of {conversion.source}: {len(conversion.state_dict)} tensors '
              f'converted, {len(conversion.ignored)} ignored', logger='current')
    for remark in conversion.remarks:
        print_log(f'{path}: {remark}', logger='current', level=logging.WARNING)
    return conversion.state_dict


def _check_shapes(report: StateReport, fresh: list[str], path: str) -> None:
    if report.complex_values:
        raise UserError(f'{path} does not fit the model: {_some(report.complex_values)} has '
                        'complex values. Is it a checkpoint of this model?')
    wrong = {name: both for name, both in report.mismatched.items() if name not in fresh}
    counts = [name for name in report.class_count if name in wrong]
    if counts:
        theirs, ours = wrong[counts[0]]
        if all(name.startswith('backbone.') for name in counts):
            raise UserError(
                f'the encoder of {path} scores {theirs[0]} classes, that of the model {ours[0]}, '
                f'while the heads agree ({counts[0]}). To test it: --cfg-options '
                f'model.backbone.num_classes={theirs[0]}; to train on: tools/train.py CONFIG '
                '--cfg-options load_from=PATH, where these parameters start fresh.')
        raise UserError(
            f'{path} was trained for another number of classes: {counts[0]} has '
            f'{theirs[0]} rows in the checkpoint and {ours[0]} in the model (where the head '
            'has a row for "no object", the counts of classes are one less). Use the config '
            'and the dataset that the checkpoint was trained with; to train on other classes '
            'from these weights: tools/train.py CONFIG --cfg-options load_from=PATH.')
    if wrong:
        name, (theirs, ours) = next(iter(wrong.items()))
        raise UserError(
            f'{path} does not fit the model: {name} is {theirs} in the checkpoint and {ours} in '
            f'the model ({len(wrong)} such parameters). Use the config that it was trained with.')


def _names_message(report: StateReport, path: str) -> str:
    parts = []
    if report.missing:
        parts.append(f'lacks {len(report.missing)} parameters of the model '
                     f'({_some(report.missing)})')
    if report.unexpected:
        parts.append(f'has {len(report.unexpected)} that the model lacks '
                     f'({_some(report.unexpected)})')
    option = f' (or this option: {", ".join(report.options)})' if report.options else ''
    return (f'{path} does not fit the model: it {" and ".join(parts)}. Use the config that it '
            f'was trained with{option}, or convert it with tools/model_converters/convert.py.')


def _warn_fine_tune(report: StateReport, fresh: list[str], path: str) -> None:
    said = {'start fresh because the number of classes differs': fresh,
            f'are not in {path} and start fresh': report.missing,
            f'of {path} are not used': report.unexpected}
    for what, names in said.items():
        if names:
            print_log(f'{len(names)} parameters {what}: {_some(names)}', logger='current',
                      level=logging.WARNING)
    if report.options:
        print_log(f'with --cfg-options {" ".join(report.options)} the model is like {path} in '
                  'this', logger='current', level=logging.WARNING)


def _some(names: list[str]) -> str:
    return ', '.join(names[:3]) + (', ...' if len(names) > 3 else '')
