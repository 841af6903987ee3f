"""The set criterion: match every prediction, then compare what was matched.

Shapes: L predictions, B batch, Q queries, K classes, C mask dimension, M segments of all images,
R matched pairs of all images, P points, (h, w) mask features, (H, W) padded input.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor, nn

from unimask.models.losses.naming import named_losses
from unimask.ops import sample_maps
from unimask.ops.recompute import in_pieces
from unimask.registry import MODELS, TASK_UTILS, build
from unimask.structures import MaskPrediction, Matches, TargetBatch


@MODELS.register_module()
class SetCriterion(nn.Module):
    """Classification, mask and dice losses of all predictions (Mask2Former, section 3.3).

    Only matched masks are made, and they are compared at points or, without a sampler, at every
    pixel of the input (MaskFormer). Float32 under autocast.

    Args:
        matcher: Config or object, ``(prediction, targets) -> Matches``.
        mask_losses: Configs or objects with a ``name``: (L, R, P) logits and masks to (L,).
        sampler: Config or object, (L, R, h, w) logits to (L, R, P, 2) points; None for all
            pixels.
        class_weight: Weight of the classification loss.
        no_object_weight: Weight of unmatched queries inside it.
        piloted_weight: Weight of all losses of piloted queries; MP-Former is published with 1.
    """

    def __init__(self, *, matcher: dict | object, mask_losses: Sequence,
                 sampler: dict | object | None, class_weight: float = 2.0,
                 no_object_weight: float = 0.1, piloted_weight: float = 1.0) -> None:
        super().__init__()
        self.matcher = build(TASK_UTILS, matcher)
        self.mask_losses = [build(MODELS, loss) for loss in mask_losses]
        self.sampler = build(TASK_UTILS, sampler)
        self.class_weight = class_weight
        self.no_object_weight = no_object_weight
        self.piloted_weight = piloted_weight

    def forward(self, prediction: MaskPrediction, targets: TargetBatch) -> dict[str, Tensor]:
        """Weighted scalar losses.

        Returns:
            ``loss_cls``, ``loss_mask``, ``loss_dice`` of the last prediction, ``d{i}.loss_*`` of
            the earlier ones; those of piloted queries as ``mp.loss_*`` and ``d{i}.mp.loss_*``.
        """
        device = prediction.class_logits.device
        with torch.autocast(device.type, enabled=False):
            # Every process takes part in this sum once a step, whatever its images hold.
            masks = mean_mask_count(len(targets), device)
            matches = self.matcher(prediction, targets)
            losses = named_losses(self.compare(prediction, targets, matches, masks))
            if prediction.piloted is not None:
                known = prediction.piloted
                piloted = self.compare(known.prediction, targets, known.matches, masks)
                losses |= named_losses(
                    {name: self.piloted_weight * values for name, values in piloted.items()},
                    part='mp.')
        return losses

    def compare(self, prediction: MaskPrediction, targets: TargetBatch, matches: Matches,
                masks: Tensor) -> dict[str, Tensor]:
        """Every loss of every prediction, (L,) each; ``masks`` is what mask losses are per."""
        losses = {'loss_cls': self.class_losses(prediction, targets, matches)}
        for name, values in self.matched_mask_losses(prediction, targets, matches).items():
            losses[f'loss_{name}'] = values / (masks * matches.copies)
        return losses

    def class_losses(self, prediction: MaskPrediction, targets: TargetBatch,
                     matches: Matches) -> Tensor:
        """Weighted cross-entropy over the sum of weights, (L,)."""
        logits = prediction.class_logits.float()
        num_predictions, batch, num_queries, _ = logits.shape
        no_object = prediction.num_classes
        wanted = torch.full(
            (num_predictions, batch * num_queries), no_object, device=logits.device)
        wanted.scatter_(1, matches.images * num_queries + matches.queries,
                        targets.labels[matches.segments])
        weights = torch.where(wanted == no_object, self.no_object_weight, 1.0)
        if matches.counted is not None:
            weights = weights * matches.counted.flatten()
        losses = F.cross_entropy(logits.flatten(0, 2), wanted.flatten(), reduction='none')
        losses = losses.view_as(weights) * weights
        # Without a counted query the sum is 0, and so is the loss.
        total = weights.sum(1).clamp(min=torch.finfo(weights.dtype).tiny)
        return self.class_weight * losses.sum(1) / total

    def matched_mask_losses(self, prediction: MaskPrediction, targets: TargetBatch,
                            matches: Matches) -> dict[str, Tensor]:
        """Every mask loss of every prediction, summed over the pairs, (L,) each."""
        logits = matched_logits(prediction, matches)
        if self.sampler is None:
            return self._dense_losses(logits, targets, matches.segments)
        points = self.sampler(logits)
        return self._weigh(*pairs_at_points(logits, targets, matches.segments, points))

    def _dense_losses(self, logits: Tensor, targets: TargetBatch, segments: Tensor
                      ) -> dict[str, Tensor]:
        """The losses of logits (L, R, h, w), a few pairs at a time: full-size maps are large."""
        pieces = pair_pieces(len(logits), logits.shape[1], targets.size, logits.device)

        def losses(part: Tensor, number: int) -> Tensor:
            found = self._weigh(*dense_pairs(part, targets, segments[pieces[number]]))
            return torch.cat([found[loss.name] for loss in self.mask_losses])

        count = len(self.mask_losses)
        values = in_pieces(losses, logits, pieces, [count] * len(pieces))
        values = values.view(len(logits), -1, count).sum(1)
        return {loss.name: values[:, i] for i, loss in enumerate(self.mask_losses)}

    def _weigh(self, logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
        return {loss.name: loss(logits, masks) for loss in self.mask_losses}


def mean_mask_count(count: int, device: torch.device) -> Tensor:
    """Segments per rank, averaged over all ranks, at least one."""
    value = torch.full((), float(count), device=device)
    all_reduce(value, op='mean')
    return value.clamp(min=1)


def matched_logits(prediction: MaskPrediction, matches: Matches) -> Tensor:
    """Masks of the matched queries only, (L, R, h, w)."""
    embeddings = prediction.mask_embeddings.float()
    features = prediction.mask_features.float()
    layers = torch.arange(len(embeddings), device=embeddings.device)[:, None]
    chosen = embeddings[layers, matches.images, matches.queries]
    # Images differ in their number of pairs: a product each, no padding. Not einsum, whose gradient
    # is laid out anew; and a single image without unbind, whose gradient is a copy.
    images = features.unbind() if len(features) > 1 else [features.squeeze(0)]
    maps = [part @ feature.flatten(1) for part, feature in zip(
        chosen.split(matches.counts, dim=1), images, strict=True)]
    return torch.cat(maps, dim=1).unflatten(2, features.shape[-2:])


def pairs_at_points(logits: Tensor, targets: TargetBatch, segments: Tensor,
                    points: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and masks of the pairs at points (L, R, P, 2): (L, R, P) each."""
    sets = points.shape[:2]
    flat = points.flatten(0, 1)
    with torch.no_grad():
        masks = targets.sample(flat, segments.flatten())
    return (sample_maps(logits.flatten(0, 1), flat).unflatten(0, sets),
            masks.unflatten(0, sets))


def pair_pieces(layers: int, pairs: int, size: tuple[int, int], device: torch.device
                ) -> list[tuple[slice, slice]]:
    """Which pairs are compared together, so many of each prediction in turn.

    On the CPU a piece stays in its caches, on the GPU few launches count for more.
    """
    limit = 2**18 if device.type == 'cpu' else 2**24
    step = max(1, limit // (size[0] * size[1]))
    return [(slice(layer, layer + 1), slice(start, start + step))
            for layer in range(layers) for start in range(0, max(pairs, 1), step)]


def dense_pairs(logits: Tensor, targets: TargetBatch,
                segments: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and masks of the pairs at every pixel of the input: (L, R, H * W) each."""
    if logits.shape[1] == 0:
        return logits.flatten(2), torch.zeros_like(logits).flatten(2)
    logits = F.interpolate(logits, targets.size, mode='bilinear', align_corners=False)
    masks = targets.select(segments.flatten()).unflatten(0, tuple(segments.shape))
    return logits.flatten(2), masks.flatten(2).float()
