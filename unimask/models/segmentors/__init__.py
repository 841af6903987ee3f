"""Segmentors: whole models."""

from __future__ import annotations

from unimask.models.segmentors.preprocessor import ImagePreprocessor
from unimask.models.segmentors.tta import SegmentorTTA, SemanticTTA
from unimask.models.segmentors.universal import UniversalSegmentor

__all__ = ['ImagePreprocessor', 'SegmentorTTA', 'SemanticTTA', 'UniversalSegmentor']
