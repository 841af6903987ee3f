"""Dense losses beside their published definition: the same numbers, and what both need.

The definition upsamples every matched mask, or every class's map, of all predictions to the size of
the input and keeps what the backward pass needs of them.

Shapes: L predictions, B batch, Q queries, K classes, C mask dimension, R pairs, (H, W) input.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.memory import peak_above
from unimask.models.losses import SetCriterion
from unimask.registry import MODELS
from unimask.structures import (
    DensePrediction,
    MaskPrediction,
    Matches,
    SegmentTargets,
    TargetBatch,
)

CHANNELS, QUERIES, STRIDE = 256, 100, 4
CRITERION = dict(  # MaskFormer's
    type='SetCriterion', class_weight=1.0, no_object_weight=0.1, sampler=None,
    matcher=dict(type='HungarianMatcher', num_points=None, costs=[
        dict(type='ClassCost', weight=1.0), dict(type='MaskFocalCost', weight=20.0),
        dict(type='DiceCost', weight=1.0)]),
    mask_losses=[dict(type='MaskFocalLoss', weight=20.0), dict(type='MaskDiceLoss', weight=1.0)])


@dataclass(frozen=True, kw_only=True)
class DenseSettings:
    """What is measured: ``masks`` (MaskFormer) or ``pixels`` (per-pixel baselines)."""

    kind: Literal['masks', 'pixels'] = 'masks'
    size: int = 512
    batch: int = 2
    objects: int = 20
    layers: int = 6
    classes: int = 150
    device: str = 'cpu'


def measure(settings: DenseSettings, *, published: bool) -> dict[str, float]:
    """Forward and backward of one side, once.

    Returns:
        ``bytes`` above the inputs (their gradients are in it), ``seconds``, the ``loss`` and the
        norms of the gradients, ``gradient_0`` and so on.
    """
    device = torch.device(settings.device)
    leaves, loss = _work(settings, device, published=published)
    found: dict[str, float] = {}

    def work() -> None:
        start = time.perf_counter()
        total = loss()
        total.backward()
        found['loss'] = total.item()
        found['seconds'] = time.perf_counter() - start

    found['bytes'] = peak_above(work, device)
    return found | {f'gradient_{i}': leaf.grad.norm().item() for i, leaf in enumerate(leaves)}


def _work(settings: DenseSettings, device: torch.device, *, published: bool
          ) -> tuple[list[Tensor], Callable[[], Tensor]]:
    """The leaves, and what computes the loss of them."""
    source = torch.Generator().manual_seed(0)
    targets = make_targets(settings, source).to(device)
    side, layers, batch = settings.size // STRIDE, settings.layers, settings.batch

    def leaf(*shape: int, scale: float = 1.0) -> Tensor:
        return (scale * torch.randn(shape, generator=source)).to(device).requires_grad_()

    if settings.kind == 'pixels':
        logits = leaf(layers, batch, settings.classes, side, side)
        criterion = MODELS.build(dict(type='PixelCriterion'))
        return [logits], (lambda: published_pixels(logits, targets)) if published else (
            lambda: sum(criterion(DensePrediction(logits), targets).values()))
    made = MaskPrediction(
        leaf(layers, batch, QUERIES, settings.classes + 1),
        leaf(layers, batch, QUERIES, CHANNELS, scale=0.3), leaf(batch, CHANNELS, side, side))
    criterion = MODELS.build(CRITERION)
    matches = criterion.matcher(made, targets)
    criterion.matcher = lambda *_: matches  # matching is the same on both sides
    leaves = [made.class_logits, made.mask_embeddings, made.mask_features]
    return leaves, (lambda: published_masks(made, targets, matches, criterion)) if published else (
        lambda: sum(criterion(made, targets).values()))


def make_targets(settings: DenseSettings, source: torch.Generator) -> TargetBatch:
    """Segments made of blocks of 32 pixels, with the classes 0, 1, ..."""
    labels = [index % settings.classes for index in range(settings.objects)]
    blocks = settings.size // 32
    return TargetBatch.stack([SegmentTargets.from_id_map(
        torch.randint(settings.objects, (blocks, blocks), generator=source)
        .repeat_interleave(32, 0).repeat_interleave(32, 1).int(),
        range(settings.objects), labels) for _ in range(settings.batch)])


def published_masks(made: MaskPrediction, targets: TargetBatch, matches: Matches,
                    criterion: SetCriterion) -> Tensor:
    """MaskFormer, section 3.3: focal and dice loss of all pixels, all predictions at once."""
    total = criterion.class_losses(made, targets, matches).sum()
    count = max(len(targets), 1)
    for layer, (queries, segments) in enumerate(
            zip(matches.queries, matches.segments, strict=True)):
        embeddings = made.mask_embeddings[layer][matches.images, queries]
        logits = torch.cat([
            torch.einsum('rc,chw->rhw', embeddings[matches.images == image], features)
            for image, features in enumerate(made.mask_features)])
        logits = F.interpolate(logits[:, None], targets.size, mode='bilinear',
                               align_corners=False)[:, 0].flatten(1)
        masks = targets.select(segments).flatten(1).float()
        probability = logits.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction='none')
        hit = probability * masks + (1 - probability) * (1 - masks)
        focal = (0.25 * masks + 0.75 * (1 - masks)) * (1 - hit) ** 2 * entropy
        overlap = 2 * (probability * masks).sum(1) + 1
        dice = 1 - overlap / (probability.sum(1) + masks.sum(1) + 1)
        total = total + (20.0 * focal.mean(1).sum() + dice.sum()) / count
    return total


def published_pixels(logits: Tensor, targets: TargetBatch) -> Tensor:
    """MaskFormer, section 4: cross-entropy of every pixel with a class, of every prediction."""
    wanted = targets.semantic_map(-100)
    return sum(F.cross_entropy(
        F.interpolate(layer, targets.size, mode='bilinear', align_corners=False), wanted,
        ignore_index=-100) for layer in logits)
