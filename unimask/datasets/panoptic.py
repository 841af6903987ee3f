"""Panoptic datasets: a JSON file with the segments, a PNG of segment ids per image."""

from __future__ import annotations

import os.path as osp
from collections.abc import Iterator, Mapping, Sequence

from unimask.datasets import sources
from unimask.datasets.categories import panoptic_classes
from unimask.datasets.coco_format import CocoFormatDataset
from unimask.datasets.coco_reading import ID, CocoFile, Place
from unimask.datasets.files import check_files
from unimask.datasets.reporting import some, warn
from unimask.registry import DATASETS

__all__ = ['ADE20KPanopticDataset', 'CityscapesPanopticDataset', 'CocoPanopticDataset',
           'PanopticDataset']

KEYS = dict(image_id=ID, file_name=str, segments_info=list)
SEGMENT_KEYS = dict(id=int, category_id=ID)


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
    PREFIXES = ('img', 'seg')
    OBJECTS = 'segments'

    def _lacks_metainfo(self) -> bool:
        return super()._lacks_metainfo() or 'thing_classes' not in self._metainfo

    def _complete_metainfo(self, file: CocoFile) -> None:
        """Which of the classes are things the file says, also of classes that a config chose."""
        super()._complete_metainfo(file)
        if 'thing_classes' in self._metainfo:
            return
        classes = self._metainfo['classes']
        silent = [c['name'] for c in file.categories
                  if c['name'] in classes and 'isthing' not in c]
        if silent:
            warn(f'{self._name}: {self.ann_file} does not say by `isthing` whether {some(silent)} '
                 'are things or stuff; they count as things. State it there, or with '
                 'metainfo=dict(classes=(...), thing_classes=(...)).')
        stuff = {c['name'] for c in file.categories if not c.get('isthing', 1)}
        self._metainfo['thing_classes'] = tuple(name for name in classes if name not in stuff)

    def _parse(self, file: CocoFile, labels: Mapping) -> list[dict]:
        things = self._things()
        items: dict[object, dict] = {}
        for number, annotation in file.checked(self._keys(file)):
            place = file.place(number)
            image = annotation['image_id']
            if image in items:
                raise place.fault(f'it is the second annotation of image {image!r}; a panoptic '
                                  'file has one per image. Remove one of them.')
            segments = [self._segment(segment, labels, things) for segment in _segments(place)]
            items[image] = self._image_item(file.images[image]) | dict(
                seg_map_path=osp.join(self.data_prefix['seg'], annotation['file_name']),
                segments_info=segments, instances=_as_instances(segments))
        self._warn_of_unused(file, items)
        check_files([item['seg_map_path'] for item in items.values()],
                    owner=self._name, source=self.ann_file)
        return list(items.values())

    def _keys(self, file: CocoFile) -> dict:
        first = file.annotations[0] if file.annotations else None
        if isinstance(first, dict) and 'segments_info' not in first:
            raise file.place(0).fault('it has no `segments_info`, so the file is no panoptic '
                                      'annotation. For instances use InstanceDataset.')
        return KEYS

    def _warn_of_unused(self, file: CocoFile, items: Mapping) -> None:
        unused = [image['file_name'] for key, image in file.images.items() if key not in items]
        if not items:
            raise file.fault('`annotations` is empty: no image has a panoptic map.')
        if unused:
            warn(f'{self._name}: {self.ann_file} has {len(unused)} images without annotation, '
                 f'which are not used: {some(unused)}. For an image without segments state an '
                 'empty `segments_info`.')

    def _things(self) -> set[int]:
        things = self.metainfo['thing_classes']
        return {label for label, name in enumerate(self.metainfo['classes']) if name in things}

    def _segment(self, place: Place, labels: Mapping, things: set[int]) -> dict:
        segment = place.entry
        label = self._label(segment['category_id'], labels, place)
        return dict(id=segment['id'], category=label, isthing=label in things,
                    iscrowd=bool(segment.get('iscrowd', 0)))


def _segments(place: Place) -> Iterator[Place]:
    """The segments of an annotation, checked."""
    known = set()
    for number, segment in enumerate(place.entry['segments_info']):
        inner = Place(place.file, f'{place}.segments_info[{number}]', segment)
        inner.check(SEGMENT_KEYS)
        if segment['id'] in known:
            raise inner.fault('another segment of this image has the same id. The PNG cannot tell '
                              'them apart; mend the file.')
        known.add(segment['id'])
        yield inner


def _as_instances(segments: Sequence[Mapping]) -> list[dict]:
    return [dict(bbox_label=segment['category'], ignore_flag=int(segment['iscrowd']))
            for segment in segments if segment['category'] is not None]


@DATASETS.register_module()
class CocoPanopticDataset(PanopticDataset):
    """COCO panoptic: 80 things and 53 stuff classes."""

    SOURCE = sources.COCO
    METAINFO = panoptic_classes('coco')


@DATASETS.register_module()
class ADE20KPanopticDataset(PanopticDataset):
    """ADE20K panoptic: the 150 scene-parsing classes in their order, 100 of them things.

    Category ids are 0 to 149, as the published preparation script and ours write them.
    """

    SOURCE = sources.ADE20K
    METAINFO = panoptic_classes('ade20k')
    FIRST_CATEGORY_ID = 0


@DATASETS.register_module()
class CityscapesPanopticDataset(PanopticDataset):
    """Cityscapes panoptic: 19 classes, 8 of them things.

    The files are those of cityscapesscripts' ``csCreatePanopticImgs --use-train-id``.
    """

    SOURCE = sources.CITYSCAPES
    METAINFO = panoptic_classes('cityscapes')

    def image_path(self, image: Mapping) -> str:
        """Path of an image: the file name in the JSON is not the one on disk, its id is."""
        city = image['id'].split('_')[0]
        return osp.join(self.data_prefix['img'], city, f'{image["id"]}_leftImg8bit.png')
