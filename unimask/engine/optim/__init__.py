"""Optimiser construction."""

from .adamw import AnyLayoutAdamW
from .constructor import GroupedOptimWrapperConstructor

__all__ = ['AnyLayoutAdamW', 'GroupedOptimWrapperConstructor']
