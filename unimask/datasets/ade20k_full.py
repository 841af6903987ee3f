"""ADE20K with all of its classes that occur in both splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unimask.datasets import sources
from unimask.datasets.semantic import SemanticDataset
from unimask.datasets.stated_classes import ReadsClasses
from unimask.registry import DATASETS
from unimask.structures.taxonomy import distinct_colours

__all__ = ['ADE20KFullSemanticDataset']

COUNT = 847


@DATASETS.register_module()
class ADE20KFullSemanticDataset(ReadsClasses, SemanticDataset):
    """ADE20K-full: 847 classes, label maps of 16 bits in which 65535 means unlabelled.

    Read the maps with ``LoadSemanticMap(ignore_index=65535)``, since 255 is a class here. The names
    are those of ``classes.txt`` below ``data_root``, one to a line in the order of the labels.
    Without the data the classes are numbered.
    """

    SOURCE = sources.ADE20K_FULL
    CLASSES_FILE = 'classes.txt'
    CLASSES_ORIGIN = ('It has a name to a line, in the order of the labels; '
                      'tools/dataset_converters/ade20k_full.py writes it with the label maps. Or '
                      'state metainfo=dict(classes=(...)).')
    METAINFO = dict(classes=tuple(f'class {label}' for label in range(COUNT)))

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> None:
        """None: the type's own names are numbers, so no choice can be made by name."""

    @classmethod
    def read_classes(cls, path: str) -> dict:
        """Names of the classes, and colours that differ."""
        names = tuple(line.strip() for line in Path(path).read_text(encoding='utf-8').splitlines()
                      if line.strip())
        if not names:
            raise ValueError('it is empty')
        return dict(classes=names, palette=distinct_colours(len(names)))
