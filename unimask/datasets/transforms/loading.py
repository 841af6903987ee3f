"""Loading of images and annotations."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from unimask.datasets.transforms.base import BaseTransform
from unimask.datasets.transforms.instance_shapes import InstanceShapes
from unimask.datasets.transforms.io import read_image, read_index_map, read_segment_ids
from unimask.errors import UserError
from unimask.registry import TRANSFORMS

__all__ = ['LoadImage', 'LoadInstances', 'LoadPanopticMap', 'LoadSemanticMap']

MAX_LABEL = 65535

_reported: list[str] = []  # maps with stray ids that this process has warned of


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read ``img_path`` as 8-bit BGR, upright by its EXIF tag.

    Where the annotation states another size (``height``, ``width``), the picture as it is stored
    is tried too, for annotations made without regard to the tag.

    Adds ``img`` (h, w, 3) uint8, ``img_shape``, ``ori_shape``.
    """

    def transform(self, results: dict) -> dict:
        """Read the image.

        Raises:
            UserError: If the file is missing, cannot be decoded, or its size is not the one in the
                annotation.
        """
        path = results['img_path']
        stated = results.get('height'), results.get('width')
        image = read_image(path)
        if None not in stated and image.shape[:2] != stated:
            image = read_image(path, upright=False)
            if image.shape[:2] != stated:
                raise UserError(f'The image {path} is {image.shape[:2]} (height, width), but its '
                                 f'annotation says {stated}.')
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadPanopticMap(BaseTransform):
    """Read the panoptic PNG ``seg_map_path`` into one id map.

    Adds ``gt_seg_map`` (h, w) int32 with segments renumbered 1 to n in the order of
    ``segments_info`` and 0 for void, and renumbers ``segments_info``. Segments of unused classes
    become void. Geometric transforms then move one map, however many segments there are.
    """

    reads_annotation = True

    def transform(self, results: dict) -> dict:
        """Read the map.

        Raises:
            UserError: If the file is missing, cannot be decoded, or does not belong to the image
                or to its annotation.
        """
        path = results['seg_map_path']
        ids = read_segment_ids(path)
        _check_shape(ids, results, path)
        segments = results['segments_info']
        if segments and 'iscrowd' not in segments[0]:
            raise UserError('LoadPanopticMap needs to know the crowd regions; use PanopticDataset '
                             'or a class derived from it in place of mmdet.CocoPanopticDataset.')
        results['gt_seg_map'] = _renumber(ids, [segment['id'] for segment in segments], path)
        used = np.array([False] + [segment['category'] is not None for segment in segments])
        if not used[1:].all():
            results['gt_seg_map'] = np.where(used, np.arange(len(used)), 0).astype(np.int32)[
                results['gt_seg_map']]
        results['segments_info'] = [
            segment | dict(id=number) for number, segment in enumerate(segments, start=1)
            if segment['category'] is not None]
        return results


def _renumber(ids: np.ndarray, known: Sequence[int], path: str) -> np.ndarray:
    """Replace the i-th known id by i + 1 and everything else by 0."""
    order = np.argsort(np.array(known, np.int64), kind='stable')
    table = np.append(np.array(known, np.int64)[order], -1)
    place = np.searchsorted(table[:-1], ids)
    found = table[place] == ids
    numbers = np.append(order + 1, 0).astype(np.int32)
    result = np.where(found, numbers[place], 0)
    stray = ~found & (ids != 0)
    if stray.any():
        _report_stray(np.unique(ids[stray]).tolist(), bool(known) and not found.any(), path)
    return result


def _report_stray(stray: list[int], alien: bool, path: str) -> None:
    message = (f'The panoptic map {path} has segment ids {stray[:5]} that its JSON entry does not '
               'list')
    if alien:
        raise UserError(f'{message}, and none that it lists: PNG and JSON are of different '
                         'images.')
    if not _reported:
        _reported.append(path)
        warnings.warn(f'{message}; such pixels count as void (reported once).', stacklevel=2)


@TRANSFORMS.register_module()
class LoadSemanticMap(BaseTransform):
    """Read the index map ``seg_map_path``.

    In this order: the dataset's ``file_labels`` (labels of values in the file),
    ``reduce_zero_label`` (a key that mmseg's datasets set: 0 becomes ignored, the others move down
    by one), ``void_labels``, the dataset's ``label_map``.

    Adds ``gt_seg_map`` (h, w), uint8 or int32, and ``ignore_index``.

    Args:
        ignore_index: Label of the pixels that do not count, in the file and afterwards.
        void_labels: Further labels in the file that do not count.
    """

    reads_annotation = True

    def __init__(self, *, ignore_index: int = 255, void_labels: Sequence[int] = ()) -> None:
        self.ignore_index = ignore_index
        self.void_labels = tuple(void_labels)

    def transform(self, results: dict) -> dict:
        """Read the map.

        Raises:
            UserError: If the file is missing, cannot be decoded, does not belong to the image, or
                has a label outside the classes.
        """
        _, labels = self.read(results)
        _check_shape(labels, results, results['seg_map_path'])
        results['gt_seg_map'] = labels
        results['ignore_index'] = self.ignore_index
        return results

    def read(self, item: Mapping) -> tuple[np.ndarray, np.ndarray]:
        """Values (h, w) in the file of an item, and the labels (h, w) that they stand for.

        Raises:
            UserError: As ``transform``.
        """
        path = item['seg_map_path']
        raw = read_index_map(path)
        low, high = int(raw.min(initial=0)), int(raw.max(initial=0))
        if low < 0 or high > MAX_LABEL:
            raise UserError(f'The label map {path} has the value {low if low < 0 else high}, but '
                            f'labels are 0 to {MAX_LABEL}. Mend the file.')
        labels = self._table(high, item)[raw]
        self._check_labels(raw, labels, item)
        small = raw.dtype == np.uint8 and self.ignore_index < 256
        return raw, labels.astype(np.uint8 if small else np.int32)

    def _table(self, highest: int, item: Mapping) -> np.ndarray:
        """Label for each value that may occur in the file."""
        table = np.arange(max(highest, self.ignore_index) + 1)
        for value, label in (item.get('file_labels') or {}).items():
            if value < len(table):
                table[value] = self.ignore_index if label == 255 else label
        old = table.copy()
        if item.get('reduce_zero_label', False):
            table = np.where(old == 0, self.ignore_index,
                             np.where(old < self.ignore_index, old - 1, old))
        for label in self.void_labels:
            table[table == label] = self.ignore_index
        old = table.copy()
        for before, after in (item.get('label_map') or {}).items():
            # mmseg writes 255 for classes left out, whatever the ignore index
            table[old == before] = self.ignore_index if after == 255 else after
        return table

    def _check_labels(self, raw: np.ndarray, labels: np.ndarray, item: Mapping) -> None:
        count = item.get('num_classes')
        if count is None:
            return
        wrong = ((labels < 0) | (labels >= count)) & (labels != self.ignore_index)
        if not wrong.any():
            return
        values = np.unique(raw[wrong])[:5].tolist()
        shifted = ('If the labels of the files count from 1 and 0 means "unlabelled", set '
                   'reduce_zero_label=True. ' if values == [count] else '')
        raise UserError(
            f'The label map {item["seg_map_path"]} has the values {values}, which are no labels: '
            f'the data set has {count} classes, and {self.ignore_index} means ignore. {shifted}'
            'Mend the file, or say what the values mean: metainfo=dict(classes=(...), '
            f'file_labels={{{values[0]}: ...}}), or LoadSemanticMap(void_labels=...).')


@TRANSFORMS.register_module()
class LoadInstances(BaseTransform):
    """Take over ``instances`` without making masks of them yet.

    Adds ``gt_masks`` (``InstanceShapes``), ``gt_bboxes_labels`` (N,) int64 and
    ``gt_ignore_flags`` (N,) bool (crowd).

    Args:
        keep_crowd: Keep crowd regions, which evaluators ignore; training does without them.
    """

    reads_annotation = True

    def __init__(self, *, keep_crowd: bool = False) -> None:
        self.keep_crowd = keep_crowd

    def transform(self, results: dict) -> dict:
        """Take over the instances."""
        instances = [i for i in results['instances'] if self.keep_crowd or not i['ignore_flag']]
        outlines = [instance['mask'] for instance in instances]
        shape = results['ori_shape']
        results['gt_masks'] = InstanceShapes(outlines, shape=shape)
        results['gt_bboxes_labels'] = np.array([i['bbox_label'] for i in instances], np.int64)
        results['gt_ignore_flags'] = np.array([i['ignore_flag'] for i in instances], bool)
        return results


def _check_shape(values: np.ndarray, results: dict, path: str) -> None:
    if 'ori_shape' in results and values.shape != tuple(results['ori_shape'][:2]):
        raise UserError(
            f'The map {path} is {values.shape} (height, width), but its image '
            f'{results["img_path"]} is {tuple(results["ori_shape"][:2])}.')
