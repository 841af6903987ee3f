"""Datasets that serve the three tasks, and their transforms."""

# ruff: noqa: E402
from __future__ import annotations

from unimask.utils.setup import import_quietly

import_quietly(('mmdet.datasets', 'mmseg.datasets'))

from unimask.datasets.ade20k_full import ADE20KFullSemanticDataset
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
from unimask.datasets.semantic import (
    ADE20KSemanticDataset,
    CamVidDataset,
    CityscapesSemanticDataset,
    COCOStuff10kDataset,
    SemanticDataset,
)
from unimask.datasets.shapes import (
    ShapesDataset,
    ShapesInstanceDataset,
    ShapesSemanticDataset,
)
from unimask.datasets.transforms import *  # noqa: F403

__all__ = [
    'ADE20KFullSemanticDataset', 'ADE20KInstanceDataset', 'ADE20KPanopticDataset',
    'ADE20KSemanticDataset', 'COCOStuff10kDataset', 'CamVidDataset', 'CityscapesInstanceDataset',
    'CityscapesPanopticDataset', 'CityscapesSemanticDataset', 'CocoFormatDataset',
    'CocoInstanceDataset', 'CocoPanopticDataset', 'InstanceDataset', 'MapillaryPanopticDataset',
    'MapillarySemanticDataset', 'PanopticDataset', 'PennFudanDataset', 'SemanticDataset',
    'ShapesDataset', 'ShapesInstanceDataset', 'ShapesSemanticDataset',
]
