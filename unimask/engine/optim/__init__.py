"""Optimiser construction and schedules."""

from __future__ import annotations

from unimask.engine.optim.constructor import GroupedOptimWrapperConstructor
from unimask.engine.optim.schedules import PolyLR
from unimask.ops.cpu.adamw import AnyLayoutAdamW
from unimask.registry import OPTIMIZERS

OPTIMIZERS.register_module(module=AnyLayoutAdamW)

__all__ = ['AnyLayoutAdamW', 'GroupedOptimWrapperConstructor', 'PolyLR']
