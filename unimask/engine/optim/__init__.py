"""Optimiser construction and schedules."""

from __future__ import annotations

from unimask.engine.optim.constructor import GroupedOptimWrapperConstructor
from unimask.engine.optim.muon import Muon
from unimask.engine.optim.schedules import PolyLR
from unimask.ops.cpu.adamw import AnyLayoutAdamW
from unimask.registry import OPTIMIZERS

OPTIMIZERS.register_module(module=AnyLayoutAdamW)
OPTIMIZERS.register_module(module=Muon)

__all__ = ['AnyLayoutAdamW', 'GroupedOptimWrapperConstructor', 'Muon', 'PolyLR']
