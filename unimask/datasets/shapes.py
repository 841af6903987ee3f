"""The Shapes data set, which ``tools/dataset_converters/make_shapes.py`` draws on the machine."""

from __future__ import annotations

from unimask.datasets import sources
from unimask.datasets.instance import InstanceDataset
from unimask.datasets.panoptic import PanopticDataset
from unimask.datasets.semantic import SemanticDataset
from unimask.registry import DATASETS

__all__ = ['ShapesDataset', 'ShapesInstanceDataset', 'ShapesSemanticDataset']

THINGS = ('disk', 'square', 'triangle', 'star', 'ring', 'cross')
STUFF = ('sky', 'grass', 'water', 'sand', 'wall')
CLASSES = THINGS + STUFF
PALETTE = [(230, 70, 70), (70, 120, 240), (240, 200, 50), (200, 80, 220), (250, 140, 40),
           (60, 210, 200), (150, 200, 255), (90, 170, 70), (50, 90, 160), (215, 190, 130),
           (150, 100, 90)]


@DATASETS.register_module()
class ShapesDataset(PanopticDataset):
    """Shapes with panoptic annotation: things and stuff."""

    SOURCE = sources.SHAPES
    METAINFO = dict(classes=CLASSES, thing_classes=THINGS, stuff_classes=STUFF, palette=PALETTE)


@DATASETS.register_module()
class ShapesInstanceDataset(InstanceDataset):
    """Shapes with instance annotation: things only."""

    SOURCE = sources.SHAPES
    METAINFO = dict(classes=THINGS, thing_classes=THINGS, palette=PALETTE[:len(THINGS)])


@DATASETS.register_module()
class ShapesSemanticDataset(SemanticDataset):
    """Shapes with semantic annotation: a class per pixel, of things and stuff."""

    SOURCE = sources.SHAPES
    METAINFO = dict(classes=CLASSES, thing_classes=(), palette=PALETTE)
