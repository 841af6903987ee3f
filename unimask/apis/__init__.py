"""Using trained models."""
from __future__ import annotations

from unimask.apis.inferencer import Inferencer, find_images

__all__ = ['Inferencer', 'find_images']
