"""Post-processors: semantic, instance and panoptic results out of a prediction.

All have one shape: ``(readout, taxonomy) -> PixelData | InstanceData``, and a ``field`` that names
where the result goes on a data sample.
"""

from __future__ import annotations

from unimask.models.post_processors.instance import InstancePostProcessor
from unimask.models.post_processors.panoptic import PanopticPostProcessor
from unimask.models.post_processors.readout import DenseReadout, MaskReadout, Readout, read
from unimask.models.post_processors.semantic import SemanticPostProcessor

__all__ = [
    'DenseReadout', 'InstancePostProcessor', 'MaskReadout', 'PanopticPostProcessor', 'Readout',
    'SemanticPostProcessor', 'read',
]
