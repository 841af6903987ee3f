"""The pilot: further queries whose segments, classes and places are given (MP-Former, section 3).

Shapes: B batch, N_b segments of image b, N the most of any image, M piloted segments of all images,
G groups, P = G * N piloted queries, T = P + Q all queries, R = G * M pairs, K classes, C width,
H heads or 1, (h_l, w_l) memory level l.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.layers import DecoderQueries
from unimask.models.piloting.noise import fraction
from unimask.registry import MODELS, TASK_UTILS, build
from unimask.structures import MaskPrediction, Matches, Piloted, TargetBatch

__all__ = ['MaskPilot', 'PilotQueries']


@MODELS.register_module()
class MaskPilot(nn.Module):
    """Asks for segments that are given: their class as content, their mask as attention mask.

    A decoder that is guided to the right place has to say what is there (MP-Former, section 3.2).
    Piloted queries see those of their own group and the matching queries; matching queries see
    none of them, so that they learn nothing that a test would not tell them. Nothing depends on
    what else is in the batch.

    Args:
        num_classes: K; filled in by the segmentor.
        channels: C; filled in by the head.
        num_heads: Of cross-attention; filled in by the head.
        groups: How often every segment is asked for; None for as often as the budget allows.
        query_budget: Most piloted queries P; None for no limit. There is one group at least, and
            of an image with more segments than that, a random choice.
        label_noise: Share of the classes that are replaced by random ones. The classes to be
            found stay the true ones.
        mask_noise: Config or object, or several that are applied in turn: masks (..., h, w) to
            masks, drawn anew in every layer and group. None for no noise.
        noise_per_head: Whether every attention head sees noise of its own.
        guided_layers: How many layers, from the first on, see the given masks; None for all. Later
            layers see the predicted masks.
        published_padding: Whether slots without segment are seen as keys and learn to be no object,
            as in the published code, where a prediction depends on the batch for that reason.

    Raises:
        UserError: A value is outside its range, or neither ``groups`` nor ``query_budget`` is set.
    """

    class_parameters = ('label_enc',)

    def __init__(self, *, num_classes: int, channels: int = 256, num_heads: int = 8,
                 groups: int | None = 1, query_budget: int | None = None,
                 label_noise: float = 0.2, mask_noise: object = None,
                 noise_per_head: bool = False, guided_layers: int | None = None,
                 published_padding: bool = False) -> None:
        super().__init__()
        if groups is None and query_budget is None:
            raise UserError('MaskPilot needs groups or query_budget, and both are None.')
        self.groups = _at_least_one('groups', groups)
        self.query_budget = _at_least_one('query_budget', query_budget)
        self.guided_layers = _at_least_one('guided_layers', guided_layers)
        self.label_noise = fraction('MaskPilot.label_noise', label_noise)
        noises = [mask_noise] if callable(mask_noise) or isinstance(mask_noise, Mapping) else (
            mask_noise or [])
        self.mask_noise = [build(TASK_UTILS, noise) for noise in noises]
        self.heads = num_heads if noise_per_head and self.mask_noise else 1
        self.published_padding = published_padding
        self.label_enc = nn.Embedding(num_classes, channels)

    def forward(self, targets: TargetBatch, sizes: Sequence[tuple[int, int]]) -> PilotQueries:
        """Queries for the segments of a batch.

        Args:
            targets: The segments; images without any get empty slots alone.
            sizes: (h_l, w_l) of the memory levels; layer i attends to level i mod their number.
        """
        slots = self.lay_out(targets)
        content = self.label_enc.weight.new_zeros(slots.shape + self.label_enc.weight.shape[1:])
        classes = self.label_enc(self.noised(targets.labels[slots.piloted].repeat(slots.groups)))
        content = content.index_put((slots.images, slots.queries), classes[slots.draws])
        return PilotQueries(content, slots, _Guide(self, targets, slots, sizes),
                            counts_padding=self.published_padding)

    def lay_out(self, targets: TargetBatch) -> Slots:
        """Where every copy of every segment goes: slot j of group i is query ``i * N + j``."""
        chosen = [self._choose(count) for count in targets.counts]
        most = max(map(len, chosen), default=0)
        groups = self.groups
        if self.query_budget is not None:
            room = max(self.query_budget // max(most, 1), 1)
            groups = room if groups is None else min(groups, room)
        return Slots.of(chosen, targets, groups=groups, width=most)

    def _choose(self, count: int) -> list[int]:
        if self.query_budget is None or count <= self.query_budget:
            return list(range(count))
        return sorted(torch.randperm(count, device='cpu')[:self.query_budget].tolist())

    def noised(self, labels: Tensor) -> Tensor:
        """Labels, some replaced by any class. Drawn on the host, so that nothing waits."""
        if self.label_noise == 0:
            return labels
        wrong = (torch.rand(len(labels), device='cpu') < self.label_noise).nonzero()[:, 0]
        drawn = torch.randint_like(wrong, self.label_enc.num_embeddings)
        wrong, drawn = (each.to(labels.device, non_blocking=True) for each in (wrong, drawn))
        return labels.index_copy(0, wrong, drawn)

    def noised_masks(self, masks: Tensor) -> Tensor:
        """(R, h, w) -> (R, H, h, w), noise of its own for each."""
        if self.heads > 1:
            masks = masks[:, None].expand(-1, self.heads, -1, -1)
        for noise in self.mask_noise:
            masks = noise(masks)
        return masks if self.heads > 1 else masks[:, None]


@dataclass(frozen=True)
class Slots:
    """Which piloted query asks for which segment.

    Attributes:
        groups: G.
        shape: (B, P).
        piloted: (M,) segments of the batch that are asked for, as index.
        images: (R,) image of each pair; images in order, queries ascending.
        queries: (R,) its query.
        segments: (R,) its segment of the batch.
        draws: (R,) its place among G copies of the M segments, one behind the other.
        counts: Pairs per image.
    """

    groups: int
    shape: tuple[int, int]
    piloted: Tensor
    images: Tensor
    queries: Tensor
    segments: Tensor
    draws: Tensor
    counts: tuple[int, ...]

    @classmethod
    def of(cls, chosen: Sequence[Sequence[int]], targets: TargetBatch, *, groups: int, width: int
           ) -> Slots:
        """Lay out the chosen segments of every image; made on the host, where all is known."""
        firsts = [sum(targets.counts[:image]) for image in range(len(chosen))]
        piloted = [first + place for first, places in zip(firsts, chosen, strict=True)
                   for place in places]
        starts = [sum(map(len, chosen[:image])) for image in range(len(chosen))]
        pairs = [(image, group * width + slot, piloted[start + slot],
                  group * len(piloted) + start + slot)
                 for image, (start, places) in enumerate(zip(starts, chosen, strict=True))
                 for group in range(groups) for slot in range(len(places))]
        device = targets.labels.device
        piloted, pairs = (
            torch.tensor(each, dtype=torch.int64, device='cpu').to(device, non_blocking=True)
            for each in (piloted, pairs))
        return cls(groups, (len(chosen), groups * width), piloted, *pairs.reshape(-1, 4).unbind(1),
                   counts=tuple(groups * len(places) for places in chosen))

    def taken(self) -> Tensor:
        """Slots with a segment, (B, P) bool."""
        taken = torch.zeros(self.shape, dtype=torch.bool, device=self.images.device)
        return taken.index_put((self.images, self.queries), taken.new_ones(()))

    def matches(self, num_predictions: int, *, counts_padding: bool) -> Matches:
        """The pairs, the same for every prediction."""
        queries, segments = (each.expand(num_predictions, -1)
                             for each in (self.queries, self.segments))
        return Matches(queries, segments, self.images, self.counts, copies=self.groups,
                       counted=None if counts_padding else self.taken())


@dataclass(frozen=True)
class PilotQueries:
    """Piloted queries of a batch.

    Attributes:
        content: (B, P, C), zero in slots without segment.
        slots: What they ask for.
        guide: Layer -> (B, H, P, h_l * w_l) bool or None.
        counts_padding: Whether slots without segment are seen and compared.
    """

    content: Tensor
    slots: Slots
    guide: _Guide
    counts_padding: bool

    def lead(self, queries: DecoderQueries) -> DecoderQueries:
        """The piloted queries before the matching ones; they have no position."""
        position = queries.position
        if position is not None:
            position = torch.cat([torch.zeros_like(self.content),
                                  position.expand_as(queries.content)], dim=1)
        return DecoderQueries(
            torch.cat([self.content, queries.content], dim=1), position,
            among=self.among(queries.content.shape[1]), guide=self.guide)

    def among(self, num_queries: int) -> Tensor:
        """Who sees whom, (B or 1, 1, T, T) bool; a slot without segment is seen by nobody."""
        groups, (_, piloted) = self.slots.groups, self.slots.shape
        device = self.content.device
        total = piloted + num_queries
        group = torch.arange(total, device=device) // max(piloted // groups, 1)
        group = group.masked_fill(torch.arange(total, device=device) >= piloted, groups)
        among = (group[:, None] == group) | (group == groups)
        if self.counts_padding:
            return among[None, None]
        seen = F.pad(self.slots.taken(), (0, num_queries), value=True)
        return (among & seen[:, None])[:, None]

    def split(self, prediction: MaskPrediction) -> MaskPrediction:
        """What the matching queries predict, with ``piloted`` what the first P do."""
        _, piloted = self.slots.shape
        parts = [dict(class_logits=prediction.class_logits[:, :, each],
                      mask_embeddings=prediction.mask_embeddings[:, :, each])
                 for each in (slice(piloted), slice(piloted, None))]
        known = Piloted(replace(prediction, **parts[0]), self.slots.matches(
            prediction.num_predictions, counts_padding=self.counts_padding))
        return replace(prediction, **parts[1], piloted=known)


class _Guide:
    """Layer -> (B, H, P, h_l * w_l) bool, where piloted queries may look; None in late layers."""

    def __init__(self, pilot: MaskPilot, targets: TargetBatch, slots: Slots,
                 sizes: Sequence[tuple[int, int]]) -> None:
        self.pilot = pilot
        self.slots = slots
        # Any overlap counts, so that no segment vanishes at the coarsest level.
        self.masks = [targets.touches(tuple(size))[slots.piloted] for size in sizes]
        self.fixed: dict[int, Tensor] = {}  # without noise, layers of a level are alike

    @torch.no_grad()
    def __call__(self, layer: int) -> Tensor | None:
        limit = self.pilot.guided_layers
        if limit is not None and layer >= limit:
            return None
        level = layer % len(self.masks)
        if self.pilot.mask_noise:
            return self._look(level)
        if level not in self.fixed:
            self.fixed[level] = self._look(level)
        return self.fixed[level]

    def _look(self, level: int) -> Tensor:
        slots = self.slots
        masks = self.pilot.noised_masks(self.masks[level].repeat(slots.groups, 1, 1)).flatten(2)
        seen = masks.new_zeros((*slots.shape, *masks.shape[1:]))
        seen = seen.index_put((slots.images, slots.queries), masks[slots.draws])
        # Whoever would see nothing sees everything, as in Mask2Former.
        return (seen | ~seen.any(-1, keepdim=True)).transpose(1, 2)


def _at_least_one(name: str, value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise UserError(f'MaskPilot.{name} must be a whole number from 1 on or None, '
                        f'not {value!r}.')
    return value
