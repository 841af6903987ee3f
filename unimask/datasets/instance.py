"""Instance datasets in COCO's format: polygons or run-length codes in one JSON file."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import mmdet.datasets

from unimask.datasets.coco_format import CocoFormatDataset
from unimask.registry import DATASETS

__all__ = ['ADE20KInstanceDataset', 'CityscapesInstanceDataset', 'CocoInstanceDataset',
           'InstanceDataset', 'PennFudanDataset']


@DATASETS.register_module()
class InstanceDataset(CocoFormatDataset):
    """Any data set in COCO instance format.

    ``data_prefix`` has ``img``. Every image becomes a dict with ``img_path``, ``img_id``,
    ``height``, ``width`` and ``instances``: a list of dict(bbox (xyxy), bbox_label, ignore_flag
    (crowd), mask (polygons or RLE)), as in mmdet.
    """

    METAINFO: dict = {}

    def _parse(self, content: Mapping, images: Mapping, labels: Mapping) -> list[dict]:
        instances = defaultdict(list)
        for annotation in content['annotations']:
            image = self._image_of(annotation, images)
            instance = self._instance(annotation, image, labels)
            if instance is not None:
                instances[image['id']].append(instance)
        return [self._image_item(image) | dict(instances=instances[key])
                for key, image in images.items()]

    def _instance(self, annotation: Mapping, image: Mapping, labels: Mapping) -> dict | None:
        """The instance, or None where it is of an unused class or has no usable outline."""
        label = self._label(annotation, labels)
        mask = self._outline(annotation, image)
        if label is None or annotation.get('ignore', False) or not mask:
            return None
        x, y, width, height = annotation.get('bbox', (0, 0, 0, 0))
        return dict(bbox=[x, y, x + width, y + height], bbox_label=label, mask=mask,
                    ignore_flag=int(annotation.get('iscrowd', 0)))

    def _outline(self, annotation: Mapping, image: Mapping) -> list | dict | None:
        shape = annotation.get('segmentation')
        if isinstance(shape, list):
            # A polygon needs three corners; COCO's tools skip shorter ones too.
            return [polygon for polygon in shape if len(polygon) >= 6 and len(polygon) % 2 == 0]
        if isinstance(shape, dict):
            size = [image['height'], image['width']]
            if list(shape['size']) != size:
                raise ValueError(
                    f'{self._name}: {self.ann_file}, annotation {annotation.get("id")}: its mask '
                    f'is {shape["size"]} (height, width), its image {image["file_name"]} {size}.')
        return shape


@DATASETS.register_module()
class CocoInstanceDataset(InstanceDataset):
    """COCO instances: 80 classes."""

    METAINFO = mmdet.datasets.CocoDataset.METAINFO


@DATASETS.register_module()
class ADE20KInstanceDataset(InstanceDataset):
    """ADE20K instances: the 100 thing classes, category ids 0 to 99."""

    METAINFO = mmdet.datasets.ADE20KInstanceDataset.METAINFO
    FIRST_CATEGORY_ID = 0


@DATASETS.register_module()
class CityscapesInstanceDataset(InstanceDataset):
    """Cityscapes instances: 8 classes."""

    METAINFO = mmdet.datasets.CityscapesDataset.METAINFO


@DATASETS.register_module()
class PennFudanDataset(InstanceDataset):
    """Penn-Fudan pedestrians: 170 photos, one class."""

    METAINFO = dict(classes=('person',), palette=[(220, 20, 60)])
