"""Semantic datasets: a PNG of class indices beside every image."""
from __future__ import annotations

from pathlib import PurePath

import mmseg.datasets

from unimask.datasets.files import check_file, check_files, check_folder
from unimask.registry import DATASETS

__all__ = ['ADE20KSemanticDataset', 'CamVidDataset', 'CityscapesSemanticDataset',
           'MapillarySemanticDataset', 'SemanticDataset']


class _CheckedFiles:
    """Adds to mmseg's datasets: missing files are found at once; the number of classes."""

    def load_data_list(self) -> list[dict]:
        """List the images and their label maps.

        Returns:
            What mmseg's dataset lists, and ``img_id`` and ``num_classes``, against which
            ``LoadSemanticMap`` checks the labels.

        Raises:
            FileNotFoundError: If a folder, an image list or a label map is missing.
        """
        owner = type(self).__name__
        for key, folder in self.data_prefix.items():
            if folder is not None:
                check_folder(folder, owner=owner, key=f'data_prefix.{key}')
        if self.ann_file:
            check_file(self.ann_file, owner=owner, key='ann_file')
        items = super().load_data_list()
        if not items:
            raise FileNotFoundError(
                f'{owner}: {self.data_prefix["img_path"]} (key `data_prefix.img_path`) has no '
                f'images *{self.img_suffix}.')
        check_files([item[key] for item in items for key in ('img_path', 'seg_map_path')
                     if key in item], owner=owner, source=self.data_prefix['img_path'])
        num_classes = len(self.metainfo['classes'])
        for item in items:
            item.update(img_id=PurePath(item['img_path']).stem, num_classes=num_classes)
        return items


@DATASETS.register_module()
class SemanticDataset(_CheckedFiles, mmseg.datasets.BaseSegDataset):
    """Any data set of images and index maps; state ``metainfo=dict(classes=(...))``."""


@DATASETS.register_module()
class ADE20KSemanticDataset(_CheckedFiles, mmseg.datasets.ADE20KDataset):
    """ADE20K scene parsing: 150 classes; the files count from 1, 0 = unlabelled."""


@DATASETS.register_module()
class CityscapesSemanticDataset(_CheckedFiles, mmseg.datasets.CityscapesDataset):
    """Cityscapes: 19 classes, label maps with train ids."""


@DATASETS.register_module()
class MapillarySemanticDataset(_CheckedFiles, mmseg.datasets.MapillaryDataset_v1):
    """Mapillary Vistas v1.2 with its 65 evaluated classes.

    Index 65 of the files, *unlabelled*, is to be ignored: ``LoadSemanticMap(void_labels=(65,))``.
    """

    METAINFO = dict(
        classes=mmseg.datasets.MapillaryDataset_v1.METAINFO['classes'][:65],
        palette=mmseg.datasets.MapillaryDataset_v1.METAINFO['palette'][:65])


@DATASETS.register_module()
class CamVidDataset(SemanticDataset):
    """CamVid road scenes with the 11 classes of the SegNet version; 255 = unlabelled."""

    METAINFO = dict(
        classes=('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign symbol', 'fence',
                 'car', 'pedestrian', 'bicyclist'),
        palette=[(128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222),
                 (128, 128, 0), (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0),
                 (0, 128, 192)])
