"""One backbone under two names: MMDetection's, which the name maps know, and timm's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from torch import Tensor

from unimask.convert.exporting import export_by
from unimask.convert.maps.timm_backbones import TIMM_RESNET, TIMM_SWIN
from unimask.convert.rules import ConversionError, apply_map

__all__ = ['as_in']

PREFIX = 'backbone.'


def as_in(names: Collection[str], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of a model under the names that a model with an equal backbone has.

    Weights of ``mmdet.ResNet`` or ``mmdet.SwinTransformer`` get the names of timm's ResNet or
    ``TimmSwin``, or the reverse, where that is what the model has.

    Args:
        names: Of the model's parameters and buffers.
        state: Weights of a whole model; the backbone's names start with ``backbone.``.

    Returns:
        The weights under those names that have most in common with the model's.
    """
    def shared(candidate: Mapping[str, Tensor]) -> int:
        return len(names & candidate.keys())

    return dict(max([state, *_renamed(names, state)], key=shared))


def backbone_as_in(names: Collection[str], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same for a backbone alone, whose names have no prefix."""
    renamed = as_in({PREFIX + name for name in names},
                    {PREFIX + name: tensor for name, tensor in state.items()})
    return {name.removeprefix(PREFIX): tensor for name, tensor in renamed.items()}


def _renamed(names: Collection[str], state: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The state dict under other names, by each map that concerns it."""
    for name_map in (TIMM_RESNET, TIMM_SWIN):
        theirs, ours = name_map.recognises(state), name_map.recognises(names)
        try:
            if theirs and not ours:
                yield apply_map(name_map, state).state_dict
            elif ours and not theirs:
                yield export_by(name_map, state).state_dict
        except ConversionError:  # it is no such backbone: what differs is said by name elsewhere
            continue
