"""unimask: train, evaluate and ship mask-classification segmentation models."""

from __future__ import annotations

from unimask.version import __version__

__all__ = ['__version__']
