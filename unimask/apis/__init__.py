"""Using trained models."""

from __future__ import annotations

from unimask.apis.inferencer import Inferencer, Report
from unimask.apis.pictures import find_images

__all__ = ['Inferencer', 'Report', 'find_images']
