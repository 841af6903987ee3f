"""What datasets in COCO's JSON formats have in common."""
from __future__ import annotations

import json
import os.path as osp
import warnings
from collections.abc import Mapping, Sequence

from mmdet.datasets import BaseDetDataset

from unimask.datasets.files import check_file, check_files

__all__ = ['CocoFormatDataset']


class CocoFormatDataset(BaseDetDataset):
    """Base of the datasets whose annotation is one JSON file in a COCO format.

    Labels are indices into ``metainfo['classes']``. Categories of the file are matched by name
    (or, where a data set's files differ in their names, by number: ``FIRST_CATEGORY_ID``). Without
    ``classes`` the categories of the file are the classes, in the order of the file. Categories
    that a configured ``metainfo`` leaves out are not used.

    Raises:
        FileNotFoundError: If the annotation file or a file that it names is missing.
        ValueError: If the annotation file contradicts itself or the classes.
    """

    # Category id of the first class, in data sets whose categories are numbered like the classes.
    FIRST_CATEGORY_ID: int | None = None

    @property
    def metainfo(self) -> dict:
        """Classes, thing classes and palette; read from the file where they are not stated."""
        if not self._metainfo.get('classes'):
            self._metainfo.update(metainfo_of(self._read()['categories'], self.ann_file))
        return super().metainfo

    def load_data_list(self) -> list[dict]:
        """Read and check the annotation file.

        Returns:
            One dict per image: ``img_path``, ``img_id``, ``height``, ``width`` and what the
            subclass adds.
        """
        content = self._read()
        labels = self._labels_by_category(content['categories'])
        images = {image['id']: image for image in content['images']}
        if not images:
            raise ValueError(f'{self._name}: {self.ann_file} lists no images.')
        items = self._parse(content, images, labels)
        check_files([item['img_path'] for item in items], owner=self._name, source=self.ann_file)
        return items

    def filter_data(self) -> list[dict]:
        """Leave out images without objects, if ``filter_cfg=dict(filter_empty_gt=True)``."""
        unknown = set(self.filter_cfg or ()) - {'filter_empty_gt'}
        if unknown:
            raise ValueError(
                f'{self._name}: filter_cfg knows `filter_empty_gt` only, not {sorted(unknown)}.')
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt', False):
            return self.data_list
        kept = [item for item in self.data_list
                if any(not instance['ignore_flag'] for instance in item['instances'])]
        if not kept:
            raise ValueError(f'{self._name}: no image of {self.ann_file} has an object of the '
                             f'classes {self.metainfo["classes"]}.')
        return kept

    def image_path(self, image: Mapping) -> str:
        """Path of an image, given its entry in ``images``."""
        return osp.join(self.data_prefix['img'], image['file_name'])

    def _parse(self, content: Mapping, images: Mapping, labels: Mapping) -> list[dict]:
        raise NotImplementedError

    def _image_item(self, image: Mapping) -> dict:
        return dict(img_path=self.image_path(image), img_id=image['id'],
                    height=image['height'], width=image['width'])

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def _has_own_classes(self) -> bool:
        """Whether the classes are those of the type, not some that a config chose."""
        return tuple(self.metainfo['classes']) == tuple(self.METAINFO.get('classes', ()))

    def _read(self) -> dict:
        check_file(self.ann_file, owner=self._name, key='ann_file')
        try:
            with open(self.ann_file, encoding='utf-8') as file:
                content = json.load(file)
        except ValueError as error:
            raise ValueError(f'{self._name}: {self.ann_file} is not a JSON file: {error}') from None
        missing = [key for key in ('images', 'annotations', 'categories')
                   if not isinstance(content, dict) or key not in content]
        if missing:
            raise ValueError(f'{self._name}: {self.ann_file} has no {missing}; it is no annotation '
                             'file in COCO format.')
        return content

    def _labels_by_category(self, categories: Sequence[Mapping]) -> dict[int, int | None]:
        """Label of every category id of the file; None for those that are not used."""
        classes = list(self.metainfo['classes'])
        if self.FIRST_CATEGORY_ID is not None and self._has_own_classes:
            labels = {c['id']: c['id'] - self.FIRST_CATEGORY_ID for c in categories}
        else:
            labels = {c['id']: classes.index(c['name']) if c['name'] in classes else None
                      for c in categories}
        self._check_labels(categories, labels)
        self._check_things(categories, labels)
        return labels

    def _check_labels(self, categories: Sequence[Mapping], labels: Mapping) -> None:
        classes = self.metainfo['classes']
        lacking = [name for i, name in enumerate(classes) if i not in set(labels.values())]
        surplus = [c['name'] for c in categories if self._has_own_classes
                   and labels[c['id']] not in range(len(classes))]
        if lacking or surplus:
            raise ValueError(
                f'{self._name}: the categories of {self.ann_file} are not its classes'
                + (f'; not in the file: {lacking[:5]}' if lacking else '')
                + (f'; not among the {len(classes)} classes: {surplus[:5]}' if surplus else '')
                + '. State the classes with metainfo=dict(classes=(...)), or use a dataset type '
                'that takes them from the file (InstanceDataset, PanopticDataset).')

    def _check_things(self, categories: Sequence[Mapping], labels: Mapping) -> None:
        things = self.metainfo.get('thing_classes')
        if things is None:
            return
        classes = self.metainfo['classes']
        other = [classes[labels[c['id']]] for c in categories
                 if 'isthing' in c and labels[c['id']] is not None
                 and bool(c['isthing']) != (classes[labels[c['id']]] in things)]
        if other:
            warnings.warn(f'{self._name}: {self.ann_file} and the metainfo disagree on whether '
                          f'{other} are things; the metainfo is used.', stacklevel=2)

    def _label(self, annotation: Mapping, labels: Mapping) -> int | None:
        category = annotation['category_id']
        if category not in labels:
            raise ValueError(
                f'{self._name}: {self.ann_file} has an annotation with category_id {category} '
                f'(annotation {annotation.get("id")}), which its `categories` do not list.')
        return labels[category]

    def _image_of(self, annotation: Mapping, images: Mapping) -> Mapping:
        image = images.get(annotation['image_id'])
        if image is None:
            raise ValueError(
                f'{self._name}: {self.ann_file} has an annotation for image '
                f'{annotation["image_id"]!r}, which its `images` do not list.')
        return image


def metainfo_of(categories: Sequence[Mapping], source: str) -> dict:
    """Metainfo of the categories of a COCO annotation file.

    Args:
        categories: Entries with ``name`` and optionally ``isthing`` and ``color``.
        source: The file, for the message.

    Raises:
        ValueError: If there are no categories or two have the same name.
    """
    names = tuple(c['name'] for c in categories)
    if not names or len(set(names)) < len(names):
        raise ValueError(f'{source} lists no categories, or two of the same name.')
    metainfo = dict(classes=names)
    if all('isthing' in c for c in categories):
        metainfo['thing_classes'] = tuple(c['name'] for c in categories if c['isthing'])
    if all('color' in c for c in categories):
        metainfo['palette'] = [tuple(c['color']) for c in categories]
    return metainfo
