"""Annotation files in COCO's formats: instances (also as Roboflow exports them) and panoptic."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unimask.datasets.coco_reading import CocoFile
from unimask.datasets.coco_writing import write_json
from unimask.errors import UserError
from unimask.own_data.parts import OwnData, Part, Splitting, known_split
from unimask.own_data.splitting import split_off

__all__ = ['CocoLayout', 'coco_part', 'find_coco']

_LISTS = ('images', 'annotations', 'categories')
_LOOKED_AT = 5  # files of a list, to find their folder


@dataclass(frozen=True)
class CocoPart:
    """An annotation file.

    Attributes:
        file: Its path.
        content: What it says.
        origin: The file of the user that it is, or is a part of; pictures are looked for there.
    """

    file: Path
    content: dict
    origin: Path


@dataclass(frozen=True)
class CocoLayout:
    """Annotation files of one kind.

    Attributes:
        folder: The user's.
        task: ``instance`` or ``panoptic``.
        files: By ``train``, ``val``, ``test`` or None.
    """

    folder: Path
    task: str
    files: Mapping[str | None, CocoPart]

    @property
    def format(self) -> str:
        """Its name."""
        names = ', '.join(str(part.file.relative_to(self.folder)) for part in self.files.values())
        return f'COCO {"panoptic" if self.task == "panoptic" else "instances"} ({names})'

    def label_folders(self) -> list[Path]:
        """Folders with the PNGs of segment ids."""
        if self.task != 'panoptic':
            return []
        return [_png_folder(self.folder, part) for part in self.files.values()]

    def prepare(self, out: Path, splitting: Splitting) -> OwnData:
        """Read the files; write a file for each part where there is one file for both."""
        files, notes = dict(self.files), []
        if 'train' in files and 'val' not in files and 'test' in files:
            files['val'] = files.pop('test')
            notes.append(f'{files["val"].file} is used for validation')
        if not {'train', 'val'} <= files.keys():
            whole = next(files[name] for name in ('train', None, 'val', 'test') if name in files)
            files = dict(self._divided(whole, out, splitting))
            notes.append(f'{len(files["val"].content["images"])} of '
                         f'{len(whole.content["images"])} images of {whole.file} were chosen at '
                         f'random for validation (seed {splitting.seed})')
        train, val = (self._part(files[name]) for name in ('train', 'val'))
        return OwnData(self.format, self.task, train, val, tuple(notes))

    def _divided(self, whole: CocoPart, out: Path, splitting: Splitting
                 ) -> Iterator[tuple[str, CocoPart]]:
        parts = split_off(whole.content['images'], splitting, where=str(whole.file))
        for name, images in zip(('train', 'val'), parts, strict=True):
            kept = {image['id'] for image in images}
            content = dict(
                images=images, categories=whole.content['categories'],
                annotations=[entry for entry in whole.content['annotations']
                             if entry['image_id'] in kept])
            target = out / f'{self.task}_{name}.json'
            write_json(target, **content)
            yield name, CocoPart(target, content, whole.origin)

    def _part(self, part: CocoPart) -> Part:
        prefix = dict(img=f'{_image_folder(self.folder, part)}/')
        if self.task == 'panoptic':
            prefix['seg'] = f'{_png_folder(self.folder, part)}/'
        dataset: dict = dict(
            type='PanopticDataset' if self.task == 'panoptic' else 'InstanceDataset',
            ann_file=str(part.file.absolute()), data_prefix=prefix)
        names = _without_roof(part.content)
        if names is not None:
            dataset['metainfo'] = dict(classes=names)
        return coco_part(dataset, part.content)


def coco_part(dataset: dict, content: Mapping) -> Part:
    """The part whose annotation is this."""
    objects = Counter(entry['image_id'] for entry in content['annotations']
                      if 'segments_info' not in entry and not entry.get('iscrowd'))
    objects.update({entry['image_id']: len(entry['segments_info'])
                    for entry in content['annotations'] if 'segments_info' in entry})
    prefix = dataset['data_prefix']
    files = [Path(prefix['img'], image['file_name']) for image in content['images']]
    if 'seg' in prefix:
        files += [Path(prefix['seg'], entry['file_name']) for entry in content['annotations']]
    return Part(dataset, len(content['images']), max(objects.values(), default=0),
                [(image['height'], image['width']) for image in content['images']], files)


def find_coco(folder: Path) -> list[CocoLayout]:
    """What the JSON files of a folder have, one layout for each task.

    Raises:
        UserError: A file is broken, has boxes alone, or two files are for the same.
    """
    found: dict[str, dict] = defaultdict(dict)
    for file in _json_files(folder):
        content = _content(file)
        if content is None:
            continue
        task, split = _task(file, content), known_split(file.relative_to(folder))
        if split in found[task]:
            raise UserError(
                f'{found[task][split].file} and {file} are both '
                f'{"COCO panoptic" if task == "panoptic" else "COCO instance"} files'
                + (f' for {split}' if split else '')
                + '. Let their names say what they are for (train, val, test), or move the one '
                'that is not meant elsewhere.')
        found[task][split] = CocoPart(file, content, file)
    return [CocoLayout(folder, task, files) for task, files in found.items()]


def _json_files(folder: Path) -> list[Path]:
    places = [folder, *(path for path in sorted(folder.iterdir()) if path.is_dir())]
    return [file for place in places for file in sorted(place.glob('*.json'))]


def _content(file: Path) -> dict | None:
    """The file, None where it is something else; checked as far as is read here."""
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise UserError(f'{file} is no JSON file, or not a whole one ({error}). Replace it, or '
                        'move it elsewhere.') from error
    if not isinstance(content, dict) or not all(
            isinstance(content.get(key), list) for key in _LISTS):
        return None
    checked = CocoFile(content, path=str(file), owner='own data')
    for _ in checked.checked(dict(image_id=(int, str))):
        pass
    return content


def _task(file: Path, content: Mapping) -> str:
    entries = content['annotations']
    if any('segments_info' in entry for entry in entries[:1]):
        return 'panoptic'
    if entries and not any(entry.get('segmentation') for entry in entries):
        raise UserError(f'{file} has boxes or points, but no outlines (`segmentation`): there is '
                        'nothing to learn masks from. Export the data with polygons or masks.')
    return 'instance'


def _image_folder(folder: Path, part: CocoPart) -> Path:
    names = [image['file_name'] for image in part.content['images'][:_LOOKED_AT]]
    return _folder_of(folder, part.origin, names, 'images', ('images', 'imgs', 'JPEGImages'))


def _png_folder(folder: Path, part: CocoPart) -> Path:
    names = [entry['file_name'] for entry in part.content['annotations'][:_LOOKED_AT]]
    return _folder_of(folder, part.origin, names, 'PNGs of segment ids', (part.origin.stem,))


def _folder_of(folder: Path, file: Path, names: Sequence[str], what: str,
               usual: Sequence[str]) -> Path:
    """The folder below which the names are, or most of them."""
    words = {file.stem.rpartition('_')[2], file.parent.name, known_split(
        file.relative_to(folder)) or ''} - {''}
    bases = [file.parent, folder, *(base / name for base in (file.parent, folder)
                                    for name in usual)]
    places = [place for base in bases for place in (*(base / word for word in words), base)]
    places += [path for path in sorted(folder.iterdir()) if path.is_dir()]
    counts = {place: sum((place / name).is_file() for name in names)
              for place in dict.fromkeys(places)}
    best = max(counts, key=counts.__getitem__)
    if counts[best] or not names:
        return best.absolute()
    raise UserError(f'{file} names {what} that are in no folder where they would be expected: '
                    f'{names[0]}. Looked for below {folder}, in '
                    f'{", ".join(dict.fromkeys(str(p) for p in places if p.is_dir()))}.')


def _without_roof(content: Mapping) -> tuple[str, ...] | None:
    """The classes without the one above all others that Roboflow adds; None without such a one."""
    roof, *others = content['categories'] or [{}]
    used = {entry.get('category_id') for entry in content['annotations']}
    if not others or roof['id'] in used or any(
            entry.get('supercategory') != roof['name'] for entry in others):
        return None
    return tuple(entry['name'] for entry in others)
