"""Models: segmentors and what they are made of."""

from __future__ import annotations

from unimask.models import (
    backbones,
    heads,
    losses,
    necks,
    piloting,
    post_processors,
    segmentors,
)

__all__ = ['backbones', 'heads', 'losses', 'necks', 'piloting',
           'post_processors', 'segmentors']
