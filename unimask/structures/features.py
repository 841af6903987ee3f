"""What pixel decoders hand to heads."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PixelFeatures:
    """Per-pixel features.

    Attributes:
        mask_features: (B, C, h, w) at stride 4, the factors of all masks.
        memory: Maps (B, C_l, h_l, w_l) that queries attend to, coarse to fine.
    """

    mask_features: Tensor
    memory: tuple[Tensor, ...]
