"""One training step, one inference, one step of the encoder, the same for every side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch

from bench.own import Unimask
from bench.parts import PartClock, now
from bench.side import Side

MAX_GRAD_NORM = 0.01
DTYPES = {'off': None, 'fp16': torch.float16, 'bf16': torch.bfloat16}


@dataclass
class Precision:
    """Automatic mixed precision: ``off``, ``fp16`` (with loss scaling) or ``bf16``."""

    name: str
    device: torch.device
    scaler: torch.amp.GradScaler = field(init=False)

    def __post_init__(self) -> None:
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.name == 'fp16')

    def context(self) -> torch.autocast:
        """Autocast, switched off for float32."""
        dtype = DTYPES[self.name]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)


class Trainer:
    """Training steps of a side: forward, loss, backward, clipping, AdamW."""

    def __init__(self, side: Side, amp: str) -> None:
        self.side = side
        self.precision = Precision(amp, side.device)
        self.optimizer = side.optimizer()
        self.trained = [each for each in side.model.parameters() if each.requires_grad]

    def __call__(self, clock: PartClock | None = None) -> float:
        """Do one step.

        Args:
            clock: Where to book the time of the backward pass and of the optimizer.

        Returns:
            The loss.
        """
        def part(name: str) -> object:
            return clock.running(name) if clock else nullcontext()

        self.side.model.train()
        with self.precision.context():
            loss = self.side.loss()
        with part('backward'):
            self.precision.scaler.scale(loss).backward()
        with part('optimizer'):
            self._update()
        return float(loss.detach())

    def _update(self) -> None:
        self.precision.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.trained, MAX_GRAD_NORM)
        self.precision.scaler.step(self.optimizer)
        self.precision.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)


class EncoderStep:
    """Forward and backward pass of the encoder alone, for our own methods."""

    def __init__(self, side: Unimask, amp: str) -> None:
        self.side = side
        self.precision = Precision(amp, side.device)

    def __call__(self, clock: PartClock | None = None) -> None:
        """Do one step; ``clock`` is as for :class:`Trainer`."""
        self.side.model.train()
        with self.precision.context():
            loss = self.side.encoder_loss()
        with clock.running('backward') if clock else nullcontext():
            loss.backward()
        self.side.model.zero_grad(set_to_none=True)


class Predictor:
    """Inference of a side, from the preprocessed images to panoptic maps."""

    def __init__(self, side: Side, amp: str) -> None:
        self.side = side
        self.precision = Precision(amp, side.device)

    @torch.no_grad()
    def __call__(self, clock: PartClock | None = None) -> list[torch.Tensor]:
        """Predict once. The parts that ``clock`` watches book their time themselves."""
        self.side.model.eval()
        with self.precision.context():
            return self.side.panoptic()


STEPS = {'train': Trainer, 'infer': Predictor, 'encoder': EncoderStep}
Step = Trainer | Predictor | EncoderStep


def seconds(step: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call."""
    start = now(device)
    step()
    return now(device) - start


def time_of_parts(step: Step, side: Side) -> dict[str, float]:
    """Exclusive seconds of every part in one step; ``rest`` is what no part accounts for."""
    clock = PartClock(side.device)
    with clock.watching(side.parts()), clock.running('rest'):
        step(clock)
    return dict(clock.seconds)
