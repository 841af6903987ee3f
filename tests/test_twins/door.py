"""The only way from the twins to unimask: what is built, put in and taken out.

Where the library's inner names change, this file changes and the twins stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from unimask.models.losses.costs import MatchInputs
from unimask.models.segmentors.targets import make_target_batch
from unimask.registry import MODELS, TASK_UTILS
from unimask.structures import (
    DensePrediction,
    MaskPrediction,
    Matches,
    Piloted,
    PixelFeatures,
    SegmentTargets,
    TargetBatch,
    Taxonomy,
)

__all__ = [
    'DensePrediction', 'MaskPrediction', 'Matches', 'PixelFeatures', 'SegmentTargets',
    'TargetBatch', 'Taxonomy',
    'build', 'cost', 'drawn_points', 'made_targets', 'plain_weights', 'shaken', 'targets_of',
    'taxonomy', 'to_numpy', 'with_pilots',
]


def build(config: dict) -> nn.Module:
    """A component in evaluation mode."""
    built = MODELS.build(config)
    return built.eval() if isinstance(built, nn.Module) else built


def cost(config: dict, *, class_logits: Tensor, labels: Tensor, mask_logits: Tensor,
         masks: Tensor) -> Tensor:
    """(R, N) of one cost."""
    return TASK_UTILS.build(config)(MatchInputs(
        class_logits=class_logits, labels=labels, mask_logits=mask_logits, masks=masks))


def with_pilots(prediction: MaskPrediction, known: Matches) -> MaskPrediction:
    """The prediction, with itself as that of queries whose segments are known."""
    return replace(prediction, piloted=Piloted(prediction, known))


def targets_of(*images: SegmentTargets) -> TargetBatch:
    return TargetBatch.stack(images)


def made_targets(samples: Sequence, size: tuple[int, int], classes: Taxonomy) -> TargetBatch:
    """Targets of data samples, padded to the input's size."""
    return make_target_batch(samples, size=size, taxonomy=classes, device=torch.device('cpu'))


def taxonomy(classes: int, things: Sequence[int]) -> Taxonomy:
    return Taxonomy(tuple(f'class{i}' for i in range(classes)),
                    tuple(i in things for i in range(classes)), ((0, 0, 0),) * classes)


@torch.no_grad()
def shaken(module: nn.Module, scale: float = 0.4) -> nn.Module:
    """The module with random parameters everywhere, so that none can be left out unseen."""
    for name, parameter in module.named_parameters():
        parameter.copy_(scale * torch.randn(parameter.shape))
        if 'norm' in name and name.endswith('weight') or name.endswith('gn.weight'):
            parameter.add_(1)
    return module


def plain_weights(module: nn.Module) -> dict[str, np.ndarray]:
    """The state dict in float64."""
    return {name: to_numpy(value) for name, value in module.state_dict().items()}


def to_numpy(value: Tensor) -> np.ndarray:
    value = value.detach()
    return value.double().numpy() if value.is_floating_point() else value.numpy()


@contextmanager
def drawn_points() -> Iterator[list[Tensor]]:
    """Everything that ``torch.rand`` draws inside."""
    original, drawn = torch.rand, []

    def recording(*args: object, **kwargs: object) -> Tensor:
        drawn.append(original(*args, **kwargs))
        return drawn[-1]

    torch.rand = recording
    try:
        yield drawn
    finally:
        torch.rand = original
