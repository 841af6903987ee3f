"""Predictions as JSON."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from mmdet.structures import DetDataSample
from pycocotools import mask as rle

from unimask.structures import Taxonomy

__all__ = ['describe', 'write_json']


def write_json(samples: list[DetDataSample], taxonomy: Taxonomy, path: Path) -> None:
    """Write what was found in every picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([describe(sample, taxonomy) for sample in samples], indent=1))


def describe(sample: DetDataSample, taxonomy: Taxonomy) -> dict:
    """A prediction in plain values.

    Returns:
        ``image``, ``height``, ``width``, and of the tasks that were predicted: ``panoptic``
        (segments with class, score and area), ``instances`` (class, score, box xyxy and mask in
        COCO's run-length encoding), ``semantic`` (pixels by class).
    """
    height, width = sample.metainfo['ori_shape'][:2]
    found = dict(image=sample.metainfo['img_path'], height=int(height), width=int(width))
    if 'pred_panoptic_seg' in sample:
        found['panoptic'] = [
            {'id': int(segment['id']), 'class': taxonomy.classes[segment['category']],
             'score': float(segment['score']), 'area': int(segment['area'])}
            for segment in sample.pred_panoptic_seg.segments_info]
    if 'pred_instances' in sample:
        found['instances'] = [_instance(*one, taxonomy) for one in zip(
            sample.pred_instances.labels.tolist(), sample.pred_instances.scores.tolist(),
            sample.pred_instances.bboxes.tolist(), sample.pred_instances.masks.numpy(),
            strict=True)]
    if 'pred_sem_seg' in sample:
        labels, counts = np.unique(sample.pred_sem_seg.sem_seg.numpy(), return_counts=True)
        found['semantic'] = {taxonomy.classes[label]: int(count)
                             for label, count in zip(labels, counts, strict=True)}
    return found


def _instance(label: int, score: float, box: list[float], mask: np.ndarray,
              taxonomy: Taxonomy) -> dict:
    code = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'class': taxonomy.classes[label], 'score': score, 'box': box,
            'segmentation': dict(size=list(code['size']), counts=code['counts'].decode())}
