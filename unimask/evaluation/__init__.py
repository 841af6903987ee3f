"""Streaming scores: panoptic quality, mask AP and mean IoU in one pass over the images.

Every metric takes what it needs from a data sample at once and keeps a few numbers (or run-length
codes) per image, so that only those travel between processes and the scores do not depend on how
the images were dealt out.
"""

from __future__ import annotations

from unimask.evaluation.boundary import mask_boundary
from unimask.evaluation.cityscapes_metric import CityscapesInstanceMetric
from unimask.evaluation.cityscapes_semantic_metric import CityscapesSemanticMetric
from unimask.evaluation.dumping import DumpPredictions
from unimask.evaluation.iou_metric import MeanIoUMetric
from unimask.evaluation.layer_consistency import Consistency, LayerConsistency
from unimask.evaluation.mask_ap_metric import MaskAPMetric
from unimask.evaluation.mean_iou import boundary_areas, class_areas, iou_scores
from unimask.evaluation.panoptic_quality import SegmentMap, panoptic_quality, panoptic_statistics
from unimask.evaluation.pq_metric import PQMetric
from unimask.evaluation.tables import ClassTable, class_tables_csv

__all__ = [
    'CityscapesInstanceMetric', 'CityscapesSemanticMetric', 'ClassTable', 'Consistency',
    'DumpPredictions', 'LayerConsistency', 'MaskAPMetric', 'MeanIoUMetric', 'PQMetric',
    'SegmentMap', 'boundary_areas', 'class_areas', 'class_tables_csv', 'iou_scores',
    'mask_boundary', 'panoptic_quality', 'panoptic_statistics',
]
