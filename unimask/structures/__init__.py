"""Values that travel between the parts: taxonomy, targets, predictions. torch and numpy only."""
from __future__ import annotations

from unimask.structures.features import PixelFeatures
from unimask.structures.predictions import DensePrediction, MaskPrediction
from unimask.structures.segment_targets import SegmentTargets, TargetBatch
from unimask.structures.taxonomy import Taxonomy

__all__ = [
    'DensePrediction', 'MaskPrediction', 'PixelFeatures', 'SegmentTargets', 'TargetBatch',
    'Taxonomy',
]
