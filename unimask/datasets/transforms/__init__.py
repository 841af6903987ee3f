"""Transforms of images and their labels."""

from __future__ import annotations

from mmdet.datasets.transforms import RandomFlip

from unimask.datasets.transforms.color import ColorAugSSD
from unimask.datasets.transforms.cropping import (
    FixedSizeCrop,
    PadToSize,
    RandomCrop,
    RandomRangeCrop,
)
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
    ResizeInto,
    ResizeShortestEdge,
)
from unimask.registry import TRANSFORMS

# mmcv's class of this name leaves masks as they are; the bare name must not mean that one here.
TRANSFORMS.register_module(module=RandomFlip)

__all__ = [
    'ColorAugSSD', 'FixedSizeCrop', 'InstanceShapes', 'LargeScaleJitter', 'LoadImage',
    'LoadInstances', 'LoadPanopticMap', 'LoadSemanticMap', 'PackSegInputs', 'PadToSize',
    'RandomCrop', 'RandomFlip', 'RandomRangeCrop', 'ResizeInto', 'ResizeShortestEdge',
]
