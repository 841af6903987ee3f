"""From the results of a pipeline to the inputs of a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData

from unimask.data_sample import DataSample
from unimask.datasets.transforms.base import BaseTransform
from unimask.errors import UserError
from unimask.registry import TRANSFORMS
from unimask.structures.masks import mask_boxes

__all__ = ['PackSegInputs']

META_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip',
             'flip_direction')
DERIVED = ('semantic', 'instance')
VOID = 255


@TRANSFORMS.register_module()
class PackSegInputs(BaseTransform):
    """Pack the image and whatever ground truth there is.

    The result is a dict of ``inputs``, a uint8 tensor (3, h, w), and ``data_samples``, a
    ``DataSample`` with the metainfo ``META_KEYS`` and

    - ``gt_panoptic_seg``: ``sem_seg`` (1, h, w) int32 segment ids, 0 = void, and
      ``segments_info``;
    - ``gt_sem_seg``: ``sem_seg`` (1, h, w) uint8 (int64 where labels are larger) and
      ``ignore_index``;
    - ``gt_instances`` and, for crowd regions, ``ignored_instances``: ``labels`` (N,) int64,
      ``masks`` (N, h, w) bool, ``bboxes`` (N, 4) float32 xyxy around the masks.

    Args:
        derive: Ground truth to derive from a panoptic map, for evaluators: ``'semantic'`` (void
            pixels are 255) and ``'instance'`` (things; crowd regions are ignored ones).
        drop_empty: Leave out instances whose mask has no pixel, as in COCO instance training.
    """

    def __init__(self, *, derive: Sequence[str] = (), drop_empty: bool = False) -> None:
        if set(derive) - set(DERIVED):
            raise UserError(f'PackSegInputs: `derive` may name {DERIVED}, not {tuple(derive)}.')
        self.derive = tuple(derive)
        self.drop_empty = drop_empty

    def transform(self, results: dict) -> dict:
        """Pack one sample."""
        sample = DataSample(metainfo={k: results[k] for k in META_KEYS if k in results})
        seg_map = results.get('gt_seg_map')
        if seg_map is not None and 'segments_info' in results:
            self._add_panoptic(sample, seg_map, results['segments_info'])
        elif seg_map is not None:
            sample.gt_sem_seg = _semantic(seg_map, results.get('ignore_index', VOID))
        if results.get('gt_masks') is not None:
            masks = results['gt_masks'].to_ndarray().astype(bool)
            self._add_instances(sample, masks, results['gt_bboxes_labels'],
                                results['gt_ignore_flags'])
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        return dict(inputs=torch.from_numpy(image), data_samples=sample)

    def _add_panoptic(self, sample: DataSample, ids: np.ndarray, segments: list[dict]) -> None:
        ids = np.ascontiguousarray(ids)
        sample.gt_panoptic_seg = PixelData(sem_seg=torch.from_numpy(ids)[None])
        sample.gt_panoptic_seg.set_metainfo(dict(segments_info=segments))
        if 'semantic' in self.derive:
            sample.gt_sem_seg = _semantic(_classes_of(ids, segments), VOID)
        if 'instance' in self.derive:
            things = [segment for segment in segments if segment['isthing']]
            numbers = np.array([segment['id'] for segment in things], ids.dtype)
            self._add_instances(
                sample, ids == numbers[:, None, None],
                np.array([segment['category'] for segment in things], np.int64),
                np.array([segment['iscrowd'] for segment in things], bool))

    def _add_instances(self, sample: DataSample, masks: np.ndarray, labels: np.ndarray,
                       ignored: np.ndarray) -> None:
        keep = masks.any(axis=(1, 2)) if self.drop_empty else np.ones(len(masks), bool)
        sample.gt_instances = _instances(masks[keep & ~ignored], labels[keep & ~ignored])
        sample.ignored_instances = _instances(masks[keep & ignored], labels[keep & ignored])


def _semantic(labels: np.ndarray, ignore_index: int) -> PixelData:
    if labels.dtype != np.uint8:
        labels = labels.astype(np.int64)
    data = PixelData(sem_seg=torch.from_numpy(np.ascontiguousarray(labels))[None])
    data.set_metainfo(dict(ignore_index=ignore_index))
    return data


def _classes_of(ids: np.ndarray, segments: list[dict]) -> np.ndarray:
    """Class of each pixel of a segment-id map, crowd regions included; void = 255."""
    table = np.full(max((s['id'] for s in segments), default=0) + 1, VOID, np.uint8)
    for segment in segments:
        table[segment['id']] = segment['category']
    return table[ids]


def _instances(masks: np.ndarray, labels: np.ndarray) -> InstanceData:
    tensor = torch.from_numpy(masks)
    return InstanceData(labels=torch.from_numpy(labels), masks=tensor, bboxes=mask_boxes(tensor))
