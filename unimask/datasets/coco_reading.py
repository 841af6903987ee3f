"""Reading annotation files in COCO's formats: every fault is named with file, entry and key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmengine.fileio import get_text

from unimask.datasets.files import check_file
from unimask.errors import UserError

__all__ = ['CocoFile', 'Place', 'read_coco']

NUMBER = (int, float)
ID = (int, str)
LISTS = ('images', 'annotations', 'categories')
IMAGE_KEYS = dict(id=ID, file_name=str, height=NUMBER, width=NUMBER)
CATEGORY_KEYS = dict(id=ID, name=str)
_NAMES = {ID: 'a number or a text', NUMBER: 'a number', int: 'a whole number', str: 'a text',
          list: 'a list', dict: 'an object {...}'}


@dataclass(frozen=True)
class Place:
    """Where in an annotation file something is, for messages.

    Attributes:
        file: The file.
        steps: Keys and numbers that lead there, such as ``images[3]``.
        entry: What is there.
    """

    file: CocoFile
    steps: str
    entry: object

    def fault(self, text: str) -> UserError:
        """The error that this entry is wrong."""
        return self.file.fault(f'{self}: {text}')

    def __str__(self) -> str:
        known = self.entry if isinstance(self.entry, dict) else {}
        names = [f'{key} {known[key]!r}' for key in ('id', 'image_id', 'file_name')
                 if isinstance(known.get(key), ID)]
        return self.steps + (f' ({", ".join(names)})' if names else '')

    def check(self, keys: Mapping[str, type | tuple[type, ...]]) -> None:
        """Raise an error unless the entry is an object with these keys, of these types.

        Raises:
            UserError: With file, entry and key.
        """
        if not isinstance(self.entry, dict):
            raise self.fault(f'it is {_shown(self.entry)}, not an object with '
                             f'{", ".join(keys)}. Mend the file.')
        for key, kinds in keys.items():
            value = self.entry.get(key)
            if isinstance(value, kinds):
                continue
            what = (f'`{key}` is {_shown(value)}, not {_NAMES[kinds]}' if key in self.entry
                    else f'`{key}` is missing')
            raise self.fault(f'{what}. Mend the file; needed are {", ".join(keys)}.')


class CocoFile:
    """Content of an annotation file.

    Attributes:
        images: Entries of ``images`` by id, checked.
        annotations: Entries of ``annotations``; ``checked`` yields them.
        categories: Entries of ``categories``, checked.
    """

    def __init__(self, content: object, *, path: str, owner: str) -> None:
        self.path = path
        self.owner = owner
        self._check_lists(content)
        self.annotations: list = content['annotations']
        self.categories: list[dict] = list(self._checked('categories', content, CATEGORY_KEYS))
        self.images = self._by_id('images', self._checked('images', content, IMAGE_KEYS))
        self._by_id('categories', self.categories)
        if not self.images:
            raise self.fault('`images` is empty: it lists no images.')

    def fault(self, text: str) -> UserError:
        """The error that something in the file is wrong."""
        return UserError(f'{self.owner}: {self.path}: {text}')

    def place(self, number: int, key: str = 'annotations') -> Place:
        """The annotation with this number, for messages."""
        return Place(self, f'{key}[{number}]', self.annotations[number])

    def checked(self, keys: Mapping[str, type | tuple[type, ...]]) -> Iterator[tuple[int, dict]]:
        """Number and entry of every annotation that has these keys and a listed image.

        Raises:
            UserError: At the first one that is not so.
        """
        for number, entry in enumerate(self._checked(
                'annotations', dict(annotations=self.annotations), keys)):
            if entry['image_id'] not in self.images:
                raise self.place(number).fault(
                    f'it is an annotation for image {entry["image_id"]!r}, which `images` does not '
                    'list. Add the image, or remove the annotation.')
            yield number, entry

    def _checked(self, name: str, content: Mapping, keys: Mapping) -> Iterator[dict]:
        for number, entry in enumerate(content[name]):
            if not isinstance(entry, dict) or not all(
                    isinstance(entry.get(key), kinds) for key, kinds in keys.items()):
                Place(self, f'{name}[{number}]', entry).check(keys)
            yield entry

    def _by_id(self, name: str, entries: Iterator[dict] | Sequence[dict]) -> dict[object, dict]:
        found: dict[object, dict] = {}
        for entry in entries:
            other = found.setdefault(entry['id'], entry)
            if other is not entry:
                label = 'file_name' if name == 'images' else 'name'
                raise self.fault(
                    f'`{name}` has the id {entry["id"]!r} twice: {other[label]} and '
                    f'{entry[label]}. It is unknown which one annotations belong to; give each an '
                    'id of its own.')
        return found

    def _check_lists(self, content: object) -> None:
        if not isinstance(content, dict) or any(key not in content for key in LISTS):
            missing = [key for key in LISTS if not isinstance(content, dict) or key not in content]
            raise self.fault(f'it has no {missing}; it is no annotation file in COCO format.')
        for key in LISTS:
            if not isinstance(content[key], list):
                raise self.fault(f'`{key}` is {_shown(content[key])}, not a list. Mend the file.')


def read_coco(path: str, *, owner: str, backend_args: dict | None = None) -> CocoFile:
    """Read an annotation file and check all but its annotations.

    Args:
        path: Of the JSON file.
        owner: Dataset type, for messages.
        backend_args: How MMEngine reads the file; None goes by its path.

    Raises:
        UserError: If the file is missing, is no JSON or not in COCO format.
    """
    check_file(path, owner=owner, key='ann_file')
    try:
        content = json.loads(get_text(path, backend_args=backend_args))
    except KeyError as error:
        raise UserError(f'{owner}: backend_args names {error}, which is no backend of MMEngine.'
                        ) from None
    except ValueError as error:
        raise UserError(f'{owner}: {path} is not a JSON file: {error}') from None
    except RecursionError:
        raise UserError(f'{owner}: {path} is nested too deeply for an annotation file.') from None
    except OSError as error:
        raise UserError(f'{owner}: {path} cannot be read: {error}') from None
    return CocoFile(content, path=path, owner=owner)


def _shown(value: object) -> str:
    if value is None:
        return 'null'
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
