"""Segmentors: whole models."""

from unimask.models.segmentors.universal import UniversalSegmentor

__all__ = ['UniversalSegmentor']
