"""Mask piloting: ground-truth masks as attention masks of further queries (MP-Former)."""

from __future__ import annotations

from unimask.models.piloting.noise import PatchNoise, PointNoise, ScaleNoise, ShiftNoise
from unimask.models.piloting.pilot import MaskPilot, PilotQueries

__all__ = ['MaskPilot', 'PatchNoise', 'PilotQueries', 'PointNoise', 'ScaleNoise', 'ShiftNoise']
