"""What datasets in COCO's JSON formats have in common."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from mmengine.dataset import BaseDataset

from unimask.datasets.classes import ChecksClasses
from unimask.datasets.coco_reading import CocoFile, Place, read_coco
from unimask.datasets.files import check_files, check_prefixes
from unimask.datasets.reporting import say, some, warn
from unimask.errors import UserError, did_you_mean

__all__ = ['CocoFormatDataset']


class CocoFormatDataset(ChecksClasses, BaseDataset):
    """Base of the datasets whose annotation is one JSON file in a COCO format.

    Labels are indices into ``metainfo['classes']``. Categories of the file are matched by name
    (or, where a data set's files differ in their names, by number: ``FIRST_CATEGORY_ID``). Without
    ``classes`` the categories of the file are the classes, in the order of the file. Categories
    that a configured ``metainfo`` leaves out are not used.

    Args:
        ann_file: The annotation file.
        metainfo: ``classes``, ``thing_classes`` and ``palette``, as far as they are not the type's
            or the file's.
        data_root: Folder that the others are below.
        data_prefix: The folders by their keys, such as ``img``.
        filter_cfg: ``dict(filter_empty_gt=True)`` leaves out images without objects in training.
        indices: The first so many images, or these.
        serialize_data: Keep the list of images as bytes, which data workers share.
        pipeline: Transforms.
        test_mode: For evaluation.
        lazy_init: Read the file when the first image is asked for.
        max_refetch: Images that are drawn in place of an unusable one, at most.
        backend_args: How MMEngine reads the annotation file; None goes by its path.

    Raises:
        UserError: If the annotation file or a file that it names is missing, or if it contradicts
            itself or the classes.
    """

    # Category id of the first class, in data sets whose categories are numbered like the classes.
    FIRST_CATEGORY_ID: int | None = None
    PREFIXES: tuple[str, ...] = ('img',)
    OBJECTS = 'objects'  # what the log calls them
    SOURCE = ''  # where the data come from; told when they are missing

    def __init__(self, ann_file: str = '', *, metainfo: Mapping | None = None,
                 data_root: str | None = '', data_prefix: Mapping[str, str] | None = None,
                 filter_cfg: dict | None = None, indices: int | Sequence[int] | None = None,
                 serialize_data: bool = True, pipeline: Sequence[dict | Callable] = (),
                 test_mode: bool = False, lazy_init: bool = False, max_refetch: int = 1000,
                 backend_args: dict | None = None) -> None:
        self.backend_args = backend_args
        super().__init__(
            ann_file, metainfo=metainfo, data_root=data_root,
            data_prefix=dict(img='') if data_prefix is None else dict(data_prefix),
            filter_cfg=filter_cfg, indices=indices, serialize_data=serialize_data,
            pipeline=list(pipeline), test_mode=test_mode, lazy_init=lazy_init,
            max_refetch=max_refetch)

    @property
    def metainfo(self) -> dict:
        """Classes, thing classes and palette; read from the file where they are not stated."""
        if self._lacks_metainfo():
            self._complete_metainfo(self._read())
        return super().metainfo

    def load_data_list(self) -> list[dict]:
        """Read and check the annotation file.

        Returns:
            One dict per image: ``img_path``, ``img_id``, ``height``, ``width`` and what the
            subclass adds.
        """
        check_prefixes(self.data_prefix, self.PREFIXES, owner=self._name)
        file = self._read()
        if self._lacks_metainfo():
            self._complete_metainfo(file)
        items = self._parse(file, self._labels_by_category(file.categories))
        check_files([item['img_path'] for item in items], owner=self._name, source=self.ann_file)
        return items

    def filter_data(self) -> list[dict]:
        """Leave out images without objects, if ``filter_cfg=dict(filter_empty_gt=True)``."""
        unknown = sorted(set(self.filter_cfg or ()) - {'filter_empty_gt'})
        if unknown:
            raise UserError(
                f'{self._name}: filter_cfg knows `filter_empty_gt` only, not {unknown}.'
                f'{did_you_mean(unknown[0], ["filter_empty_gt"])}')
        kept = self.data_list
        if not self.test_mode and (self.filter_cfg or {}).get('filter_empty_gt', False):
            kept = [item for item in self.data_list if _objects(item)]
        if not kept:
            raise UserError(f'{self._name}: no image of {self.ann_file} has an object of the '
                            f'classes {some(self.metainfo["classes"])}.')
        self._report(kept)
        return kept

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of the objects of an image, for MMEngine's ``ClassBalancedDataset``."""
        return [each['bbox_label'] for each in self.get_data_info(idx)['instances']]

    def image_path(self, image: Mapping) -> str:
        """Path of an image, given its entry in ``images``."""
        return osp.join(self.data_prefix['img'], image['file_name'])

    def _parse(self, file: CocoFile, labels: Mapping) -> list[dict]:
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
        return tuple(self._metainfo['classes']) == tuple(self.METAINFO.get('classes', ()))

    def _read(self) -> CocoFile:
        return read_coco(self.ann_file, owner=self._name, backend_args=self.backend_args)

    def _lacks_metainfo(self) -> bool:
        return not self._metainfo.get('classes')

    def _complete_metainfo(self, file: CocoFile) -> None:
        """State what the file says of its categories, where the config does not."""
        if not self._metainfo.get('classes'):
            self._metainfo.update(metainfo_of(file))

    def _labels_by_category(self, categories: Sequence[Mapping]) -> dict[int, int | None]:
        """Label of every category id of the file; None for those that are not used."""
        classes = list(self.metainfo['classes'])
        if self.FIRST_CATEGORY_ID is not None and self._has_own_classes:
            labels = {c['id']: c['id'] - self.FIRST_CATEGORY_ID
                      if isinstance(c['id'], int) else None for c in categories}
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
            raise UserError(
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
            warn(f'{self._name}: {self.ann_file} and the metainfo disagree on whether '
                 f'{some(other)} are things; the metainfo is used.')

    def _label(self, category: object, labels: Mapping, place: Place) -> int | None:
        if category not in labels:
            raise place.fault(f'category_id {category!r} is not in `categories`. Add the category, '
                              'or remove the annotation.')
        return labels[category]

    def _report(self, kept: Sequence[dict]) -> None:
        """One line on what there is, and warnings of what is not."""
        counts = Counter(label for item in self.data_list for label in _objects(item))
        empty = sum(not _objects(item) for item in self.data_list)
        left_out = len(self.data_list) - len(kept)
        use = 'evaluation' if self.test_mode else 'training'
        say(f'{self._name}, {use}, {self.ann_file}: {len(self.data_list)} images with '
            f'{counts.total()} {self.OBJECTS}; {empty} images have none'
            + (', and are left out' if left_out else ''))
        if not counts:
            warn(f'{self._name}: {self.ann_file} has no {self.OBJECTS} of the classes '
                 f'{some(self.metainfo["classes"])} at all: there is nothing to '
                 f'{"compare with" if self.test_mode else "learn"}. Is it the right file?')
        elif not self.test_mode:
            never = [name for i, name in enumerate(self.metainfo['classes']) if i not in counts]
            if never:
                warn(f'{self._name}: {self.ann_file} has no {self.OBJECTS} of {len(never)} of the '
                     f'{len(self.metainfo["classes"])} classes: {some(never)}. They are not '
                     'learnt; leave them out with metainfo=dict(classes=(...)).')


def _objects(item: Mapping) -> list[int]:
    """Labels of what an image shows, crowd regions left aside."""
    return [i['bbox_label'] for i in item['instances'] if not i['ignore_flag']]


def metainfo_of(file: CocoFile) -> dict:
    """Metainfo of the categories of an annotation file: ``name``, ``isthing`` and ``color``.

    Raises:
        UserError: If there are no categories or two have the same name.
    """
    categories = file.categories
    names = tuple(c['name'] for c in categories)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if not names or twice:
        raise file.fault(
            f'`categories` has the name {twice[0]!r} more than once. Merge or rename them, or '
            'state the classes with metainfo=dict(classes=(...)).' if twice else
            '`categories` is empty: state the categories in the file.')
    metainfo = dict(classes=names)
    if all('isthing' in c for c in categories):
        metainfo['thing_classes'] = tuple(c['name'] for c in categories if c['isthing'])
    if all(_is_colour(c.get('color')) for c in categories):
        metainfo['palette'] = [tuple(c['color']) for c in categories]
    return metainfo


def _is_colour(value: object) -> bool:
    return (isinstance(value, (list, tuple)) and len(value) == 3
            and all(isinstance(part, (int, float)) for part in value))
