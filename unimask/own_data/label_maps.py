"""Pictures with index maps: a PNG of class numbers for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unimask.checkpoints import atomic_write_text
from unimask.datasets.transforms.io import read_index_map
from unimask.errors import UserError
from unimask.own_data.headers import check_size
from unimask.own_data.label_values import IGNORED, Meaning, meaning_of
from unimask.own_data.names import read_names
from unimask.own_data.pairs import PICTURES, Place, find_places, paired, pictures_of
from unimask.own_data.parts import OwnData, Part, Splitting, known_split
from unimask.own_data.splitting import train_and_val
from unimask.own_data.telling import progress

__all__ = ['LabelMapLayout', 'find_label_maps']

Pair = tuple[Path, Path]
_ENDING = '_mask'


@dataclass(frozen=True)
class _Seen:
    """A picture with its label map, and what the map holds."""

    image: Path
    labels: Path
    size: tuple[int, int]
    values: frozenset[int]


@dataclass(frozen=True)
class LabelMapLayout:
    """Pictures and label maps.

    Attributes:
        folder: The user's.
        pairs: By ``train``, ``val``, ``test`` or None.
        label_folder: Where the first of the maps are.
    """

    folder: Path
    pairs: dict[str | None, list[Pair]]
    label_folder: Path
    task: str = 'semantic'

    @property
    def format(self) -> str:
        """Its name."""
        count = sum(map(len, self.pairs.values()))
        return f'pictures and label maps ({count} pairs)'

    def prepare(self, out: Path, splitting: Splitting) -> OwnData:
        """Look at every map; write lists of the files for training and for validation."""
        entries = [(split, pair) for split, pairs in self.pairs.items() for pair in pairs]
        seen: dict[str | None, list[_Seen]] = defaultdict(list)
        for split, pair in progress(entries, f'looking at the label maps of {self.folder}'):
            seen[split].append(_look_at(*pair))
        values = frozenset().union(*(each.values for group in seen.values() for each in group))
        meaning = meaning_of(values, read_names(self.folder), folder=self.folder)
        train, val, note = train_and_val(seen, splitting, where=str(self.folder))
        parts = [self._part(group, out / f'semantic_{name}.txt', meaning)
                 for name, group in (('train', train), ('val', val))]
        return OwnData(self.format, self.task, *parts,
                       tuple(filter(None, (note, meaning.note))))

    def _part(self, group: Sequence[_Seen], listing: Path, meaning: Meaning) -> Part:
        lines = [f'{each.image.relative_to(self.folder)}\t{each.labels.relative_to(self.folder)}\n'
                 for each in group]
        atomic_write_text(''.join(lines), listing)
        metainfo: dict = dict(classes=meaning.classes)
        if meaning.file_labels:
            metainfo['file_labels'] = meaning.file_labels
        place = str(self.folder.absolute())
        dataset = dict(type='SemanticDataset', ann_file=str(listing.absolute()), metainfo=metainfo,
                       data_prefix=dict(img_path=place, seg_map_path=place))
        return Part(dataset, len(group), max(len(each.values - {IGNORED}) for each in group),
                    [each.size for each in group], [each.image for each in group])


def find_label_maps(folder: Path) -> list[LabelMapLayout]:
    """Pictures and label maps in a folder; one layout or none.

    Known are ``images`` beside ``masks`` (or ``labels``, ``annotations``), with the same folders
    in both; ``train/images`` beside ``train/masks``; and ``train/NAME.jpg`` beside
    ``train/NAME_mask.png``.

    Raises:
        UserError: Some pictures have a map and some have none, or a picture has two.
    """
    for pairs in (_beside_folders(folder), _beside_pictures(folder)):
        if pairs:
            first = next(iter(pairs.values()))[0][1]
            return [LabelMapLayout(folder, pairs, first.parent)]
    return []


def _beside_folders(folder: Path) -> dict[str | None, list[Pair]]:
    found: dict[str | None, list[Pair]] = defaultdict(list)
    seen: dict[Path, Path] = {}
    for place in find_places(folder):
        for image, labels in _pairs_of(place):
            if image in seen:
                raise UserError(f'{image} has two label maps, {seen[image]} and {labels}. Move the '
                                'folder that is not meant elsewhere.')
            seen[image] = labels
            found[place.split_of(image)].append((image, labels))
    return dict(found)


def _pairs_of(place: Place) -> list[Pair]:
    images = {_name(path, place.images): path for path in pictures_of(place.images)}
    labels = {_name(path, place.labels): path for path in pictures_of(place.labels)
              if path.suffix.lower() == '.png'}
    return paired(images, labels, where=str(place.labels)) if labels else []


def _beside_pictures(folder: Path) -> dict[str | None, list[Pair]]:
    found = {}
    for place in (folder, *(path for path in sorted(folder.iterdir()) if path.is_dir())):
        pairs = _masks_beside(place)
        if pairs:
            found[known_split(place.relative_to(folder))] = pairs
    return found


def _masks_beside(place: Path) -> list[Pair]:
    """``NAME.jpg`` with ``NAME_mask.png`` in one folder."""
    files = {path.with_suffix('').name: path for path in sorted(place.iterdir())
             if path.suffix.lower() in PICTURES}
    maps = {name.removesuffix(_ENDING): path for name, path in files.items()
            if name.endswith(_ENDING) and path.suffix.lower() == '.png'}
    images = {name: path for name, path in files.items() if not name.endswith(_ENDING)}
    return paired(images, maps, where=str(place)) if maps and images else []


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix('').as_posix()


def _look_at(image: Path, labels: Path) -> _Seen:
    values = read_index_map(str(labels))
    if values.min() < 0:
        raise UserError(f'The label map {labels} has negative values. Save it with class numbers.')
    check_size(labels, values.shape, image)
    return _Seen(image, labels, values.shape, frozenset(np.unique(values).tolist()))
