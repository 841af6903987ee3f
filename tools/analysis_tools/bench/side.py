"""What every implementation that is compared can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.parts import Part
from bench.workload import Workload


class Side(ABC):
    """One implementation of Mask2Former for COCO panoptic, on one workload.

    Attributes:
        model: the network, with frozen batch norms.
        class_head: the layer that makes the class logits.
    """

    model: nn.Module
    class_head: nn.Linear

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self.workload = workload.to(device)
        self.device = device

    @abstractmethod
    def logits(self) -> tuple[Tensor, Tensor]:
        """Final class logits (B, Q, K+1) and mask logits (B, Q, H/4, W/4)."""

    @abstractmethod
    def loss(self) -> Tensor:
        """The total training loss, a scalar."""

    def compared_loss(self) -> Tensor:
        """That of it which every side has."""
        return self.loss()

    @abstractmethod
    def panoptic(self) -> list[Tensor]:
        """One panoptic map (H, W) per image, in the library's own encoding."""

    @abstractmethod
    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW as the library's users get it."""

    @abstractmethod
    def parts(self) -> list[Part]:
        """The parts whose time is worth telling apart."""

    def finish(self, weights: Mapping[str, Tensor] | None = None) -> None:
        """Load weights, move to the device."""
        if weights is not None:
            self.model.load_state_dict(weights, strict=True)
        self.model.to(self.device)


def metainfo(workload: Workload) -> dict:
    """What a data sample says about its image."""
    height, width = workload.size
    return dict(
        img_id=0, img_path='synthetic', img_shape=(height, width), ori_shape=(height, width),
        batch_input_shape=(height, width), pad_shape=(height, width), scale_factor=(1.0, 1.0))
