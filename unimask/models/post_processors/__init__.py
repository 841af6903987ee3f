"""Post-processors: read semantic, instance or panoptic results out of queries and masks."""
from __future__ import annotations

from unimask.models.post_processors.instance import InstancePostProcessor, InstanceResult
from unimask.models.post_processors.panoptic import PanopticPostProcessor, PanopticResult
from unimask.models.post_processors.readout import Readout
from unimask.models.post_processors.semantic import SemanticPostProcessor

__all__ = [
    'InstancePostProcessor', 'InstanceResult', 'PanopticPostProcessor', 'PanopticResult',
    'Readout', 'SemanticPostProcessor',
]
