"""A folder of a user's own pictures and labels: what it is, and a model trained on it."""

from __future__ import annotations

from unimask.own_data.parts import OwnData, Part
from unimask.own_data.recognition import recognise
from unimask.own_data.training import train

__all__ = ['OwnData', 'Part', 'recognise', 'train']
