"""Predictions as plain values and as maps.

Shapes: (h, w) original size of the picture, D instances.
"""

from __future__ import annotations

import numpy as np
import torch
from mmengine.structures import InstanceData

from unimask.data_sample import DataSample
from unimask.structures import Taxonomy
from unimask.structures.arrays import as_array
from unimask.structures.panoptic import colour_ids, lookup
from unimask.utils.rle import run_length_code

__all__ = ['describe', 'panoptic_map', 'semantic_map']


def describe(sample: DataSample, taxonomy: Taxonomy, *, min_score: float = 0.0) -> dict:
    """A prediction in plain values.

    Args:
        sample: The prediction.
        taxonomy: Names of the classes.
        min_score: Instances with a lower score are left out.

    Returns:
        ``image``, ``height``, ``width``, and of the tasks that were predicted: ``panoptic``
        (segments: id in the panoptic map, class, isthing, score, area), ``instances`` (class,
        score, box xyxy and mask in COCO's run-length encoding), ``semantic`` (pixels by class).
    """
    height, width = sample.metainfo['ori_shape'][:2]
    found = dict(image=sample.metainfo['img_path'], height=int(height), width=int(width))
    if 'pred_panoptic_seg' in sample:
        found['panoptic'] = [_segment(number, info, taxonomy) for number, info in enumerate(
            sample.pred_panoptic_seg.segments_info, 1)]
    if 'pred_instances' in sample:
        kept = (sample.pred_instances.scores >= min_score).nonzero()[:, 0].tolist()
        found['instances'] = [_instance(sample.pred_instances, index, taxonomy)
                              for index in kept]
    if 'pred_sem_seg' in sample:
        counts = sample.pred_sem_seg.sem_seg.flatten().bincount().tolist()
        found['semantic'] = {taxonomy.classes[label]: count
                             for label, count in enumerate(counts) if count}
    return found


def semantic_map(sample: DataSample) -> np.ndarray:
    """Class of every pixel, (h, w), uint8 or, for more than 256 classes, uint16."""
    labels = sample.pred_sem_seg.sem_seg[0].numpy()
    return labels.astype(np.uint8 if labels.max(initial=0) < 256 else np.uint16)


def panoptic_map(sample: DataSample) -> np.ndarray:
    """COCO's colours of segment ids, (h, w, 3) uint8 RGB; void is 0.

    The segments of ``segments_info`` are 1, 2, ... in their order, as in :func:`describe`.
    """
    segments = sample.pred_panoptic_seg.segments_info
    ids = lookup(sample.pred_panoptic_seg.sem_seg[0], [segment['id'] for segment in segments],
                 range(1, len(segments) + 1), other=0, dtype=torch.int32)
    return colour_ids(ids.numpy())


def _segment(number: int, info: dict, taxonomy: Taxonomy) -> dict:
    return {'id': number, 'class': taxonomy.classes[info['category']],
            'isthing': taxonomy.is_thing(info['category']), 'score': float(info['score']),
            'area': int(info['area'])}


def _instance(instances: InstanceData, index: int, taxonomy: Taxonomy) -> dict:
    # One mask after the other: together they may be larger than everything else.
    mask = as_array(instances.masks[index])
    return {'class': taxonomy.classes[int(instances.labels[index])],
            'score': float(instances.scores[index]), 'box': instances.bboxes[index].tolist(),
            'segmentation': run_length_code(mask)}
