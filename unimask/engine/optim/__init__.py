"""Optimiser construction."""

from .constructor import GroupedOptimWrapperConstructor

__all__ = ['GroupedOptimWrapperConstructor']
