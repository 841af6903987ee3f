"""Instance datasets in COCO's format: polygons or run-length codes in one JSON file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from unimask.datasets import sources
from unimask.datasets.categories import thing_classes
from unimask.datasets.coco_format import CocoFormatDataset
from unimask.datasets.coco_reading import ID, CocoFile, Place
from unimask.datasets.outlines import Outlines
from unimask.registry import DATASETS

__all__ = ['ADE20KInstanceDataset', 'CityscapesInstanceDataset', 'CocoInstanceDataset',
           'InstanceDataset', 'PennFudanDataset']

KEYS = dict(image_id=ID, category_id=ID)


@DATASETS.register_module()
class InstanceDataset(CocoFormatDataset):
    """Any data set in COCO instance format.

    ``data_prefix`` has ``img``. Every image becomes a dict with ``img_path``, ``img_id``,
    ``height``, ``width`` and ``instances``: a list of dict(bbox (xyxy), bbox_label, ignore_flag
    (crowd), mask (polygons or RLE)), as in mmdet.
    """

    METAINFO: dict = {}

    def _parse(self, file: CocoFile, labels: Mapping) -> list[dict]:
        _refuse_panoptic(file)
        instances, outlines = defaultdict(list), Outlines(file)
        for number, annotation in file.checked(KEYS):
            instance = self._instance(file.place(number), labels, outlines)
            if instance is not None:
                instances[annotation['image_id']].append(instance)
        outlines.report()
        return [self._image_item(image) | dict(instances=instances[key])
                for key, image in file.images.items()]

    def _instance(self, place: Place, labels: Mapping, outlines: Outlines) -> dict | None:
        """The instance, or None where it is of an unused class or has no usable outline."""
        annotation = place.entry
        label = self._label(annotation['category_id'], labels, place)
        if label is None or annotation.get('ignore', False):
            return None
        mask = outlines.take(place)
        if not mask:
            return None
        return dict(bbox=_corners(place), bbox_label=label, mask=mask,
                    ignore_flag=int(bool(annotation.get('iscrowd'))))


def _refuse_panoptic(file: CocoFile) -> None:
    if file.annotations and isinstance(file.annotations[0], dict) and (
            'segments_info' in file.annotations[0]):
        raise file.place(0).fault('it has `segments_info`, so the file is a panoptic annotation. '
                                  'Use PanopticDataset, or the instance annotation of the data.')


def _corners(place: Place) -> list[float]:
    """The box as x0, y0, x1, y1; zeros where the file has none, as masks are what counts."""
    box = place.entry.get('bbox') or (0, 0, 0, 0)
    try:
        x, y, width, height = box
        return [x, y, x + width, y + height]
    except (TypeError, ValueError):
        raise place.fault(f'`bbox` is {box!r}, not [x, y, width, height].') from None


@DATASETS.register_module()
class CocoInstanceDataset(InstanceDataset):
    """COCO instances: 80 classes."""

    SOURCE = sources.COCO
    METAINFO = thing_classes('coco')


@DATASETS.register_module()
class ADE20KInstanceDataset(InstanceDataset):
    """ADE20K instances: the 100 thing classes, category ids 0 to 99."""

    SOURCE = sources.ADE20K
    METAINFO = thing_classes('ade20k')
    FIRST_CATEGORY_ID = 0


@DATASETS.register_module()
class CityscapesInstanceDataset(InstanceDataset):
    """Cityscapes instances: 8 classes."""

    SOURCE = sources.CITYSCAPES
    METAINFO = thing_classes('cityscapes')


@DATASETS.register_module()
class PennFudanDataset(InstanceDataset):
    """Penn-Fudan pedestrians: 170 photos, one class."""

    SOURCE = sources.PENNFUDAN
    METAINFO = dict(classes=('person',), palette=[(220, 20, 60)])
