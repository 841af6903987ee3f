"""Panoptic datasets: a JSON file with the segments, a PNG of segment ids per image."""
from __future__ import annotations

import os.path as osp
from collections.abc import Mapping

import mmdet.datasets
import mmseg.datasets

from unimask.datasets.coco_format import CocoFormatDataset
from unimask.datasets.files import check_files
from unimask.registry import DATASETS

__all__ = ['ADE20KPanopticDataset', 'CityscapesPanopticDataset', 'CocoPanopticDataset',
           'MapillaryPanopticDataset', 'PanopticDataset']


@DATASETS.register_module()
class PanopticDataset(CocoFormatDataset):
    """Any data set in COCO panoptic format.

    It serves all three tasks: ``LoadPanopticMap`` and ``PackSegInputs`` make panoptic, instance
    and semantic ground truth of it. Unlike mmdet's class of that kind it keeps crowd regions, names
    missing files at once, and takes the classes from the file where they are not stated.

    ``data_prefix`` has ``img`` (images) and ``seg`` (PNGs). Every image that has an annotation
    becomes a dict with ``img_path``, ``img_id``, ``height``, ``width``, ``seg_map_path`` and
    ``segments_info``: a list of dict(id, category (label), isthing, iscrowd).
    """

    METAINFO: dict = {}

    def _parse(self, content: Mapping, images: Mapping, labels: Mapping) -> list[dict]:
        things = self._things()
        items = []
        for annotation in content['annotations']:
            if 'segments_info' not in annotation:
                raise ValueError(f'{self._name}: {self.ann_file} has no `segments_info`; it is no '
                                 'panoptic annotation. For instances use InstanceDataset.')
            item = self._image_item(self._image_of(annotation, images))
            item['seg_map_path'] = osp.join(self.data_prefix['seg'], annotation['file_name'])
            item['segments_info'] = [
                self._segment(segment, labels, things) for segment in annotation['segments_info']]
            item['instances'] = [
                dict(bbox_label=segment['category'], ignore_flag=int(segment['iscrowd']))
                for segment in item['segments_info'] if segment['category'] is not None]
            items.append(item)
        check_files([item['seg_map_path'] for item in items],
                    owner=self._name, source=self.ann_file)
        return items

    def _things(self) -> set[int]:
        classes = self.metainfo['classes']
        things = self.metainfo.get('thing_classes', classes)
        return {label for label, name in enumerate(classes) if name in things}

    def _segment(self, segment: Mapping, labels: Mapping, things: set[int]) -> dict:
        label = self._label(segment, labels)
        return dict(id=segment['id'], category=label, isthing=label in things,
                    iscrowd=bool(segment.get('iscrowd', 0)))


@DATASETS.register_module()
class CocoPanopticDataset(PanopticDataset):
    """COCO panoptic: 80 things and 53 stuff classes."""

    METAINFO = mmdet.datasets.CocoPanopticDataset.METAINFO


# mmseg's list has a blank too many: 'bed '.
ADE20K_CLASSES = tuple(name.strip() for name in mmseg.datasets.ADE20KDataset.METAINFO['classes'])


@DATASETS.register_module()
class ADE20KPanopticDataset(PanopticDataset):
    """ADE20K panoptic: the 150 scene-parsing classes in their order, 100 of them things.

    Category ids are 0 to 149, as the published preparation script and ours write them.
    """

    METAINFO = dict(
        classes=ADE20K_CLASSES,
        thing_classes=mmdet.datasets.ADE20KInstanceDataset.METAINFO['classes'],
        palette=[tuple(c) for c in mmseg.datasets.ADE20KDataset.METAINFO['palette']])
    FIRST_CATEGORY_ID = 0


@DATASETS.register_module()
class CityscapesPanopticDataset(PanopticDataset):
    """Cityscapes panoptic: 19 classes, 8 of them things.

    The files are those of cityscapesscripts' ``csCreatePanopticImgs --use-train-id``.
    """

    METAINFO = dict(
        classes=mmseg.datasets.CityscapesDataset.METAINFO['classes'],
        thing_classes=mmdet.datasets.CityscapesDataset.METAINFO['classes'],
        palette=[tuple(c) for c in mmseg.datasets.CityscapesDataset.METAINFO['palette']])

    def image_path(self, image: Mapping) -> str:
        """Path of an image: the file name in the JSON is not the one on disk, its id is."""
        city = image['id'].split('_')[0]
        return osp.join(self.data_prefix['img'], city, f'{image["id"]}_leftImg8bit.png')


# In version 1.2, as told apart by its panoptic annotation.
MAPILLARY_THINGS = (
    'Bird', 'Ground Animal', 'Crosswalk - Plain', 'Person', 'Bicyclist', 'Motorcyclist',
    'Other Rider', 'Lane Marking - Crosswalk', 'Banner', 'Bench', 'Bike Rack', 'Billboard',
    'Catch Basin', 'CCTV Camera', 'Fire Hydrant', 'Junction Box', 'Mailbox', 'Manhole',
    'Phone Booth', 'Street Light', 'Pole', 'Traffic Sign Frame', 'Utility Pole', 'Traffic Light',
    'Traffic Sign (Back)', 'Traffic Sign (Front)', 'Trash Can', 'Bicycle', 'Boat', 'Bus', 'Car',
    'Caravan', 'Motorcycle', 'Other Vehicle', 'Trailer', 'Truck', 'Wheeled Slow')


@DATASETS.register_module()
class MapillaryPanopticDataset(PanopticDataset):
    """Mapillary Vistas v1.2 panoptic: 65 classes, 37 of them things; category ids 1 to 65."""

    METAINFO = dict(
        classes=mmseg.datasets.MapillaryDataset_v1.METAINFO['classes'][:65],
        thing_classes=MAPILLARY_THINGS,
        palette=[tuple(c) for c in mmseg.datasets.MapillaryDataset_v1.METAINFO['palette'][:65]])
    FIRST_CATEGORY_ID = 1
