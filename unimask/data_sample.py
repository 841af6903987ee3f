"""The sample that travels beside an image: its annotation, and later its predictions."""

from __future__ import annotations

from mmengine.structures import BaseDataElement, InstanceData, PixelData

__all__ = ['DataSample']


class DataSample(BaseDataElement):
    """Annotation and predictions of one image, any of which may be absent.

    Samples of MMDetection and MMSegmentation have the same fields, and are taken wherever this one
    is. Its metainfo says where the image came from and how it was transformed.

    Attributes:
        gt_instances: ``labels`` (N,), ``masks`` (N, h, w), ``bboxes`` (N, 4).
        ignored_instances: The same for crowd regions.
        gt_sem_seg: ``sem_seg`` (1, h, w), and ``ignore_index``.
        gt_panoptic_seg: ``sem_seg`` (1, h, w) of segment ids, and ``segments_info``.
        pred_instances: As ``gt_instances``, with ``scores`` (N,).
        pred_sem_seg: ``sem_seg`` (1, h, w).
        pred_panoptic_seg: As ``gt_panoptic_seg``.
    """

    gt_instances: InstanceData
    ignored_instances: InstanceData
    gt_sem_seg: PixelData
    gt_panoptic_seg: PixelData
    pred_instances: InstanceData
    pred_sem_seg: PixelData
    pred_panoptic_seg: PixelData
