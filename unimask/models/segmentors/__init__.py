"""Segmentors: whole models."""

from __future__ import annotations

from unimask.models.segmentors.preprocessor import ImagePreprocessor
from unimask.models.segmentors.tta import SemanticTTA
from unimask.models.segmentors.universal import UniversalSegmentor

__all__ = ['ImagePreprocessor', 'SemanticTTA', 'UniversalSegmentor']
