"""What backbones hand to pixel decoders, and pixel decoders to heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class BackboneFeatures:
    """Feature maps of an image batch.

    Attributes:
        maps: (B, C_i, h_i, w_i) each, fine to coarse.
        semantic: Class scores (B, K, h_i, w_i) of encoders that make them (SeMask), else empty.
    """

    maps: tuple[Tensor, ...]
    semantic: tuple[Tensor, ...] = ()

    @classmethod
    def of(cls, output: BackboneFeatures | Sequence[Tensor]) -> BackboneFeatures:
        """What a backbone returned: features as they are, or a sequence of maps."""
        return output if isinstance(output, cls) else cls(tuple(output))


@dataclass(frozen=True)
class PixelFeatures:
    """Per-pixel features.

    Attributes:
        mask_features: (B, C, h, w) at stride 4, the factors of all masks.
        memory: Maps (B, C_l, h_l, w_l) that queries attend to, coarse to fine; empty where a
            pixel decoder serves dense heads alone.
    """

    mask_features: Tensor
    memory: tuple[Tensor, ...] = ()
