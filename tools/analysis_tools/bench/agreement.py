"""Do two sides compute the same?"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from bench.side import Side

TOLERANCE = 1e-3
# One flipped bit of an attention mask (a logit within rounding of zero) changes its whole query.
OUTLIER_QUERIES = 0.03
LOSS_TOLERANCE = 0.03


@dataclass(frozen=True)
class Agreement:
    """Differences relative to the largest value of the peer's tensor.

    Attributes:
        class_difference, mask_difference: the largest one of all queries but the outliers.
        mean_difference: mean over both tensors' entries.
        worst_difference: the largest one of all.
        outlier_queries: share of queries that differ by more than the tolerance.
    """

    class_difference: float
    mask_difference: float
    mean_difference: float
    worst_difference: float
    outlier_queries: float

    @property
    def agrees(self) -> bool:
        """Whether only a few queries differ by more than rounding."""
        return self.outlier_queries <= OUTLIER_QUERIES and self.mean_difference <= TOLERANCE

    def as_dict(self) -> dict[str, float]:
        """Plain values for a report."""
        return asdict(self)


@torch.no_grad()
def compare_outputs(ours: Side, peer: Side) -> Agreement:
    """Compare class and mask logits in float32."""
    for side in (ours, peer):
        side.model.eval()
    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        pairs = list(zip(ours.logits(), peer.logits(), strict=True))
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
    return _summary([_relative(a.float(), b.float()) for a, b in pairs])


def _relative(ours: Tensor, peer: Tensor) -> Tensor:
    """Relative differences (B * Q, entries)."""
    return ((ours - peer).abs() / peer.abs().max()).flatten(0, 1).flatten(1)


def _summary(differences: list[Tensor]) -> Agreement:
    worst = torch.stack([each.amax(dim=1) for each in differences])  # (2, B * Q)
    good = (worst <= TOLERANCE).all(dim=0)
    usual = worst[:, good].amax(dim=1).tolist() if good.any() else [float('inf')] * 2
    return Agreement(
        class_difference=usual[0],
        mask_difference=usual[1],
        mean_difference=max(float(each.mean()) for each in differences),
        worst_difference=float(worst.max()),
        outlier_queries=1 - float(good.float().mean()),
    )


def compare_losses(ours: Side, peer: Side, draws: int = 3) -> dict:
    """Mean loss of both sides, as far as both have it; points are random, so draw a few times."""
    means = {}
    for name, side in (('ours', ours), ('peer', peer)):
        side.model.train()
        with torch.no_grad():
            means[name] = statistics.mean(float(side.compared_loss()) for _ in range(draws))
    ratio = means['ours'] / means['peer']
    return dict(**means, ratio=ratio, agree=abs(ratio - 1) <= LOSS_TOLERANCE)
