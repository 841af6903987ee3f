"""Transforms of images and their labels."""

from __future__ import annotations

from unimask.datasets.transforms.base import BaseTransform
from unimask.datasets.transforms.color import ColorAugSSD
from unimask.datasets.transforms.cropping import (
    FixedSizeCrop,
    PadToSize,
    RandomCrop,
    RandomRangeCrop,
)
from unimask.datasets.transforms.flipping import RandomFlip
from unimask.datasets.transforms.formatting import PackSegInputs
from unimask.datasets.transforms.instance_shapes import InstanceShapes
from unimask.datasets.transforms.loading import (
    LoadImage,
    LoadInstances,
    LoadPanopticMap,
    LoadSemanticMap,
)
from unimask.datasets.transforms.resizing import (
    LargeScaleJitter,
    Resize,
    ResizeInto,
    ResizeShortestEdge,
)

__all__ = [
    'BaseTransform', 'ColorAugSSD', 'FixedSizeCrop', 'InstanceShapes', 'LargeScaleJitter',
    'LoadImage', 'LoadInstances', 'LoadPanopticMap', 'LoadSemanticMap', 'PackSegInputs',
    'PadToSize', 'RandomCrop', 'RandomFlip', 'RandomRangeCrop', 'Resize', 'ResizeInto',
    'ResizeShortestEdge',
]
