"""Semantic datasets: a PNG of class indices beside every image."""

from __future__ import annotations

import os.path as osp
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath

import mmengine.fileio
from mmengine.dataset import BaseDataset

from unimask.datasets.classes import ChecksClasses
from unimask.datasets.files import (
    check_file,
    check_files,
    check_folder,
    check_prefixes,
    warn_of_unused,
)
from unimask.datasets.label_survey import LabelSurvey, survey_labels
from unimask.datasets.reporting import say, some, warn
from unimask.datasets.transforms.loading import LoadSemanticMap
from unimask.errors import UserError, did_you_mean
from unimask.registry import DATASETS
from unimask.structures.taxonomy import distinct_colours

__all__ = ['SemanticDataset']

PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif')
# Spellings of the same kind of file.
SAME = {name: names for names in (('jpg', 'jpeg'), ('tif', 'tiff')) for name in names}


@DATASETS.register_module()
class SemanticDataset(ChecksClasses, BaseDataset):
    """Any data set of images and index maps; state ``metainfo=dict(classes=(...))``.

    Files and labels are looked at before training starts. The options are those of
    MMSegmentation's datasets.

    ``metainfo`` may have ``file_labels``, a dict from values in the label maps to labels, for maps
    whose values are not labels yet: ``{255: 1}`` for masks of 0 and 255.

    A line of ``ann_file`` is the name of an image and its label map without suffix; or both files
    with a tab between them, for names that differ.

    Args:
        ann_file: List of the images in use; without it all of the folder are.
        img_suffix: How the names of the images end.
        seg_map_suffix: How those of their label maps end.
        metainfo: ``classes``; optionally ``thing_classes``, ``palette`` and ``file_labels``. Of a
            type with classes of its own some can be chosen.
        data_root: Folder that the others are below.
        data_prefix: Folders ``img_path`` and, where there are label maps, ``seg_map_path``.
        filter_cfg: As in MMEngine, like all that follow but the last two.
        indices: The first so many images, or these.
        serialize_data: Keep the list of images as bytes, which data workers share.
        pipeline: Transforms.
        test_mode: For evaluation.
        lazy_init: Look at the files when the first image is asked for.
        max_refetch: Images that are drawn in place of an unusable one, at most.
        reduce_zero_label: 0 in the files means unlabelled, and the labels count from 1.
        backend_args: How MMEngine reads ``ann_file`` and lists folders.

    Raises:
        UserError: The classes are unknown, or files are missing or contradict them.
    """

    SOURCE = ''  # where the data come from; told when they are missing
    METAINFO: dict = {}

    def __init__(self, ann_file: str = '', *, img_suffix: str = '.jpg',
                 seg_map_suffix: str = '.png', metainfo: Mapping | None = None,
                 data_root: str | None = None,
                 data_prefix: Mapping[str, str | None] | None = None,
                 filter_cfg: dict | None = None, indices: int | Sequence[int] | None = None,
                 serialize_data: bool = True, pipeline: Sequence[dict | Callable] = (),
                 test_mode: bool = False, lazy_init: bool = False, max_refetch: int = 1000,
                 reduce_zero_label: bool = False, backend_args: dict | None = None) -> None:
        self.img_suffix = img_suffix
        self.seg_map_suffix = seg_map_suffix
        self.reduce_zero_label = reduce_zero_label
        self.backend_args = backend_args
        folders = dict(img_path='', seg_map_path='') if data_prefix is None else data_prefix
        super().__init__(
            ann_file, metainfo=metainfo, data_root=data_root,
            data_prefix={key: folder for key, folder in folders.items() if folder is not None},
            filter_cfg=filter_cfg, indices=indices, serialize_data=serialize_data,
            pipeline=list(pipeline), test_mode=test_mode, lazy_init=True, max_refetch=max_refetch)
        self.label_map = self.get_label_map(self._metainfo['classes'])
        self._metainfo.update(label_map=self.label_map, reduce_zero_label=reduce_zero_label)
        if not lazy_init:
            self.full_init()

    @classmethod
    def _load_metainfo(cls, metainfo: Mapping | None = None) -> dict:
        loaded = super()._load_metainfo(metainfo)
        if not loaded.get('classes'):
            raise UserError(f'{cls.__name__}: the classes are unknown. State them in the order of '
                            "their labels: metainfo=dict(classes=('background', 'person')).")
        count = len(loaded['classes'])
        _check_file_labels(loaded.get('file_labels'), count, cls.__name__)
        loaded['palette'] = loaded.get('palette') or distinct_colours(count)
        if len(loaded['palette']) != count:
            raise UserError(f'{cls.__name__}: metainfo.palette has {len(loaded["palette"])} '
                            f'colours for {count} classes.')
        return loaded

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """Label of each class of the type where a config chose some of them, 255 for the others.

        Raises:
            UserError: The type does not have one of the chosen classes.
        """
        own = cls.METAINFO.get('classes')
        if new_classes is None or own is None or list(new_classes) == list(own):
            return None
        foreign = [name for name in new_classes if name not in own]
        if foreign:
            raise UserError(f'{cls.__name__}: metainfo.classes has {foreign[:5]}, but may name '
                            f'classes of this type only.{did_you_mean(foreign[0], own)} For '
                            'classes of your own use SemanticDataset.')
        chosen = list(new_classes)
        return {label: chosen.index(name) if name in chosen else 255
                for label, name in enumerate(own)}

    def load_data_list(self) -> list[dict]:
        """List the images and their label maps.

        Returns:
            One dict per image: ``img_path``, ``img_id``, ``seg_map_path`` if there are label maps,
            and what ``LoadSemanticMap`` needs to know of them.

        Raises:
            UserError: If a folder, an image list or a label map is missing.
        """
        self._check_places()
        items = [self._item(image, labels) for image, labels in self._names()]
        check_files([item[key] for item in items for key in ('img_path', 'seg_map_path')
                     if key in item], owner=self._name, source=self.data_prefix['img_path'])
        if not self.ann_file and self.data_prefix.get('seg_map_path') is not None:
            warn_of_unused(self.data_prefix['seg_map_path'], suffix=self.seg_map_suffix,
                           used={item['seg_map_path'] for item in items}, owner=self._name)
        return items

    def filter_data(self) -> list[dict]:
        """All items; looks at label maps and says in the log what there is."""
        loader = next((step for step in self.pipeline.transforms
                       if isinstance(step, LoadSemanticMap)), None)
        use = 'evaluation' if self.test_mode else 'training'
        text = (f'{self._name}, {use}, {self.data_prefix["img_path"]}: {len(self.data_list)} '
                'images')
        if loader is None or 'seg_map_path' not in self.data_list[0]:
            say(text)
            return self.data_list
        survey = survey_labels(self.data_list, loader)
        classes = self.metainfo['classes']
        say(f'{text}; in {survey.text} there are {len(survey.labels)} of {len(classes)} classes')
        self._judge(survey)
        return self.data_list

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check_places(self) -> None:
        check_prefixes(self.data_prefix, ('img_path',), owner=self._name)
        for key, folder in self.data_prefix.items():
            if folder is not None:
                check_folder(folder, owner=self._name, key=f'data_prefix.{key}')
        if self.ann_file:
            check_file(self.ann_file, owner=self._name, key='ann_file')

    def _item(self, image: str, labels: str) -> dict:
        item = dict(img_path=osp.join(self.data_prefix['img_path'], image),
                    img_id=PurePath(image).stem, num_classes=len(self._metainfo['classes']),
                    label_map=self.label_map, reduce_zero_label=self.reduce_zero_label,
                    file_labels=self._metainfo.get('file_labels'), seg_fields=[])
        folder = self.data_prefix.get('seg_map_path')
        if folder is not None:
            item['seg_map_path'] = osp.join(folder, labels)
        return item

    def _names(self) -> list[tuple[str, str]]:
        """Image files and label maps, below their folders."""
        if self.ann_file:
            return self._listed_names()
        found = sorted(self._pictures(), key=lambda pair: pair[0])
        names = [(name, stem + self.seg_map_suffix) for name, stem in found if stem is not None]
        self._tell_of_others([name for name, stem in found if stem is None], len(names))
        return names

    def _listed_names(self) -> list[tuple[str, str]]:
        lines = mmengine.list_from_file(self.ann_file, backend_args=self.backend_args)
        parts = [line.strip().split('\t') for line in lines if line.strip()]
        if not parts:
            raise UserError(f'{self._name}: {self.ann_file} (key `ann_file`) is empty; it lists '
                            'images, one to a line, without suffix.')
        return [(part[0], part[1]) if len(part) == 2 else
                (part[0] + self.img_suffix, part[0] + self.seg_map_suffix) for part in parts]

    def _pictures(self) -> Iterator[tuple[str, str | None]]:
        """Pictures in the image folder; their stem is None where the suffix is another one."""
        folder, maps = self.data_prefix['img_path'], self.data_prefix.get('seg_map_path')
        for name in mmengine.fileio.list_dir_or_file(
                folder, list_dir=False, recursive=True, backend_args=self.backend_args):
            stem = _stem(name, self.img_suffix)
            is_map = maps is not None and name.endswith(self.seg_map_suffix) and (
                osp.normpath(osp.join(folder, name)).startswith(osp.join(osp.normpath(maps), '')))
            if stem is not None or (name.lower().endswith(PICTURES) and not is_map):
                yield name, stem

    def _tell_of_others(self, others: list[str], used: int) -> None:
        folder = self.data_prefix['img_path']
        if not used:
            there = (f', but {len(others)} other pictures ({some(others)}). Say how their '
                     "names end with `img_suffix`, as in img_suffix='.png'." if others else '.')
            raise UserError(f'{self._name}: {folder} (key `data_prefix.img_path`) has no images '
                            f'*{self.img_suffix}{there}')
        if others:
            warn(f'{self._name}: {len(others)} pictures of {folder} are not used, as their names '
                 f'do not end in {self.img_suffix} (key `img_suffix`): {some(others)}. '
                 f'{used} are used. Rename them, or move them elsewhere.')

    def _judge(self, survey: LabelSurvey) -> None:
        classes = self.metainfo['classes']
        survey.check_binary(classes, owner=self._name,
                            excused='file_labels' in self._metainfo)
        if self.reduce_zero_label:
            survey.check_shift(len(classes), owner=self._name)
        if not survey.labels:
            warn(f'{self._name}: {survey.text} (such as {survey.example}) have no labelled pixel: '
                 'all are ignored. Are they the right files?')
            return
        never = [name for label, name in enumerate(classes) if label not in survey.labels]
        if never and survey.complete and not self.test_mode:
            warn(f'{self._name}: {len(never)} of {len(classes)} classes occur in no label map of '
                 f'{osp.dirname(survey.example)}: {some(never)}. They are not learnt; compare '
                 'metainfo.classes with the values in the files.')


def _stem(name: str, suffix: str) -> str | None:
    """The name without its suffix, be that spelt .jpg, .JPG or .jpeg; None if it has another."""
    root, dot, kind = suffix.rpartition('.')
    for spelling in SAME.get(kind.lower(), (kind,)):
        ending = f'{root}{dot}{spelling}'
        if name.lower().endswith(ending.lower()):
            return name[:len(name) - len(ending)]
    return None


def _check_file_labels(labels: object, count: int, owner: str) -> None:
    if labels is None:
        return
    wrong = not isinstance(labels, Mapping) or [
        (value, label) for value, label in labels.items()
        if type(value) is not int or type(label) is not int or value < 0
        or (label != 255 and label not in range(count))]
    if wrong:
        raise UserError(
            f'{owner}: metainfo.file_labels is {labels!r}. It is a dict from values in the label '
            f'maps to labels 0 to {count - 1}, or 255 for ignored ones: file_labels={{255: 1}}.')
