"""Datasets that serve the three tasks, and their transforms."""

from __future__ import annotations

from unimask.datasets.ade20k_full import ADE20KFullSemanticDataset
from unimask.datasets.batch_sampler import AspectRatioBatchSampler
from unimask.datasets.coco_format import CocoFormatDataset
from unimask.datasets.instance import (
    ADE20KInstanceDataset,
    CityscapesInstanceDataset,
    CocoInstanceDataset,
    InstanceDataset,
    PennFudanDataset,
)
from unimask.datasets.mapillary import MapillaryPanopticDataset, MapillarySemanticDataset
from unimask.datasets.panoptic import (
    ADE20KPanopticDataset,
    CityscapesPanopticDataset,
    CocoPanopticDataset,
    PanopticDataset,
)
from unimask.datasets.public_semantic import (
    ADE20KSemanticDataset,
    CamVidDataset,
    CityscapesSemanticDataset,
    COCOStuff10kDataset,
)
from unimask.datasets.semantic import SemanticDataset
from unimask.datasets.shapes import (
    ShapesDataset,
    ShapesInstanceDataset,
    ShapesSemanticDataset,
)
from unimask.datasets.transforms import *  # noqa: F403

__all__ = [
    'ADE20KFullSemanticDataset', 'ADE20KInstanceDataset', 'ADE20KPanopticDataset',
    'ADE20KSemanticDataset', 'AspectRatioBatchSampler', 'COCOStuff10kDataset', 'CamVidDataset',
    'CityscapesInstanceDataset', 'CityscapesPanopticDataset', 'CityscapesSemanticDataset',
    'CocoFormatDataset', 'CocoInstanceDataset', 'CocoPanopticDataset', 'InstanceDataset',
    'MapillaryPanopticDataset', 'MapillarySemanticDataset', 'PanopticDataset', 'PennFudanDataset',
    'SemanticDataset', 'ShapesDataset', 'ShapesInstanceDataset', 'ShapesSemanticDataset',
]
