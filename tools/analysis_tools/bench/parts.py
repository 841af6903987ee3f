"""Where the time of a step goes: exclusive wall time per named part."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

MISSING = object()


@dataclass(frozen=True)
class Part:
    """A callable attribute to be timed, e.g. ``Part('backbone', model.backbone, 'forward')``."""

    name: str
    owner: object
    attribute: str = 'forward'


def now(device: torch.device) -> float:
    """Seconds, after everything that was queued on ``device`` has finished."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()


class PartClock:
    """Adds up exclusive seconds: time inside a nested part is not counted for the outer one."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._device = device
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Count the time inside the ``with`` block for ``name``."""
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    @contextmanager
    def watching(self, parts: list[Part]) -> Iterator[None]:
        """Count every call of the given parts while the ``with`` block runs."""
        own = [vars(part.owner).get(part.attribute, MISSING) for part in parts]
        for part in parts:
            setattr(part.owner, part.attribute, self._timed(part))
        try:
            yield
        finally:
            for part, before in zip(parts, own, strict=True):
                if before is MISSING:  # a method of the class was shadowed
                    delattr(part.owner, part.attribute)
                else:
                    setattr(part.owner, part.attribute, before)

    def _timed(self, part: Part) -> Callable:
        function = getattr(part.owner, part.attribute)

        def call(*args: object, **kwargs: object) -> object:
            with self.running(part.name):
                return function(*args, **kwargs)

        return call

    def _switch(self) -> None:
        """Book the time since the last change on the part that was innermost."""
        time_now = now(self._device)
        if self._open:
            self.seconds[self._open[-1]] += time_now - self._since
        self._since = time_now
