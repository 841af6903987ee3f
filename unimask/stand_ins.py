"""What a name of MMDetection or MMSegmentation means where that library is not installed."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ['STAND_INS', 'stands_in']

# Name in a config -> what takes the same options and computes the same.
STAND_INS: dict[str, Callable] = {}


def stands_in(name: str) -> Callable[[Callable], Callable]:
    """Decorator for a component that stands in for another library's, by its name in configs."""
    def enter(component: Callable) -> Callable:
        STAND_INS[name] = component
        return component

    return enter
