"""Values that travel between the parts: taxonomy, targets, matches, features, predictions.

torch and numpy only.
"""

from __future__ import annotations

from unimask.structures.features import BackboneFeatures, PixelFeatures
from unimask.structures.matches import Matches
from unimask.structures.predictions import DensePrediction, MaskPrediction, Piloted
from unimask.structures.segment_targets import SegmentTargets
from unimask.structures.target_batch import TargetBatch
from unimask.structures.taxonomy import Taxonomy

__all__ = [
    'BackboneFeatures', 'DensePrediction', 'MaskPrediction', 'Matches', 'Piloted', 'PixelFeatures',
    'SegmentTargets', 'TargetBatch', 'Taxonomy',
]
