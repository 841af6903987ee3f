"""What all transforms have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ['BaseTransform']


class BaseTransform(ABC):
    """A step of a pipeline, called as mmcv's class of this name is."""

    def __call__(self, results: dict) -> dict | None:
        return self.transform(results)

    @abstractmethod
    def transform(self, results: dict) -> dict | None:
        """Change the sample, or return None for another one to be drawn in its place."""
