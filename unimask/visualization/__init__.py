"""Pictures of images, truths and predictions."""

from __future__ import annotations

from unimask.visualization.drawing import draw_instances, draw_panoptic, draw_semantic
from unimask.visualization.panels import in_rows, legend, side_by_side
from unimask.visualization.visualizer import UniversalVisualizer

__all__ = [
    'UniversalVisualizer', 'draw_instances', 'draw_panoptic', 'draw_semantic', 'in_rows',
    'legend', 'side_by_side',
]
