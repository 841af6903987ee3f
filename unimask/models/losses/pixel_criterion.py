"""Cross-entropy of every pixel.

Shapes: L predictions, B batch, K classes, (h, w) logits, (H, W) padded input.
"""

from __future__ import annotations

from itertools import product
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.losses.naming import named_losses
from unimask.ops.recompute import in_pieces
from unimask.ops.resize import RowBand, resize_band, row_bands
from unimask.registry import MODELS
from unimask.structures import DensePrediction, TargetBatch

IGNORE = -100  # no class, of no data set


@MODELS.register_module()
class PixelCriterion(nn.Module):
    """Cross-entropy of dense predictions, resized to the input (MaskFormer, section 4).

    Float32 under autocast. A batch whose pixels are all ignored gives zero, with a gradient.

    Args:
        weight: Of the loss.
        average: Divide by the number of ``valid`` pixels, or of ``all`` pixels, as MMSegmentation
            does.
        hardest: Count so many pixels per image alone, those of the batch with the largest losses
            (online hard example mining); None for all of them. The divisor stays that of
            ``average``.
        align_corners: How the logits are resized.
        overlap: ``refuse`` overlapping segments, whose pixels have no single class, or ``ignore``
            pixels of several classes. For instances without a map of classes.

    Raises:
        UserError: An option has a value that it cannot have.
    """

    def __init__(self, *, weight: float = 1.0, average: Literal['valid', 'all'] = 'valid',
                 hardest: int | None = None, align_corners: bool = False,
                 overlap: Literal['refuse', 'ignore'] = 'refuse') -> None:
        super().__init__()
        if average not in ('valid', 'all'):
            raise UserError(f"PixelCriterion.average must be 'valid' or 'all', not {average!r}.")
        if hardest is not None and hardest < 1:
            raise UserError(f'PixelCriterion.hardest must be at least 1 pixel, not {hardest}.')
        if overlap not in ('refuse', 'ignore'):
            raise UserError(
                f"PixelCriterion.overlap must be 'refuse' or 'ignore', not {overlap!r}.")
        self.weight = weight
        self.average = average
        self.hardest = hardest
        self.align_corners = align_corners
        self.overlap = overlap

    def forward(self, prediction: DensePrediction, targets: TargetBatch) -> dict[str, Tensor]:
        """``loss_sem`` of the last prediction, ``d{i}.loss_sem`` of the earlier ones.

        Raises:
            UserError: If segments overlap and that is refused.
        """
        wanted = targets.semantic_map(IGNORE, overlap=self.overlap)
        with torch.autocast(wanted.device.type, enabled=False):
            losses = self.pixel_losses(prediction.logits.float(), wanted)
            values = [self.average_of(layer.flatten(), wanted) for layer in losses]
        return named_losses({'loss_sem': torch.stack(values)})

    def pixel_losses(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Losses of logits (L, B, K, h, w) against classes (B, H, W): (L, B, H, W).

        A few rows at a time: the scores of all classes at full size are large.
        """
        height, size = logits.shape[-2], tuple(wanted.shape[-2:])
        bands = self.bands(logits, size)
        places = list(product(range(len(logits)), range(len(wanted)), bands))

        def losses(part: Tensor, number: int) -> Tensor:
            _, image, band = places[number]
            if self.align_corners:
                scores = F.interpolate(part[None], size, mode='bilinear', align_corners=True)
            else:
                scores = resize_band(part[None], band, size, whole=height)
            return F.cross_entropy(scores, wanted[image, band.rows][None], ignore_index=IGNORE,
                                   reduction='none').flatten()

        pieces = [(layer, image, slice(None), band.source) for layer, image, band in places]
        lengths = [(band.rows.stop - band.rows.start) * size[1] for _, _, band in places]
        return in_pieces(losses, logits, pieces, lengths).view(len(logits), *wanted.shape)

    def bands(self, logits: Tensor, size: tuple[int, int]) -> list[RowBand]:
        """Rows that are compared together; with aligned corners all of an image."""
        if self.align_corners:
            return [RowBand(slice(0, size[0]), slice(0, logits.shape[-2]), 0)]
        budget = 2**21 if logits.device.type == 'cpu' else 2**26
        return row_bands(logits.shape[-2], size[0], values_per_row=logits.shape[2] * size[1],
                         budget=budget)

    def average_of(self, losses: Tensor, wanted: Tensor) -> Tensor:
        """The loss of a batch from those of its pixels (B * H * W), a scalar."""
        count = (wanted != IGNORE).sum().clamp(min=1) if self.average == 'valid' else len(losses)
        if self.hardest is not None:  # ignored pixels have loss 0 and change no sum
            losses = losses.topk(min(self.hardest * len(wanted), len(losses)), sorted=False).values
        return self.weight * losses.sum() / count
