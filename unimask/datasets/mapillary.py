"""Mapillary Vistas v1.2, whose ``config_v1.2.json`` says what its classes are."""

from __future__ import annotations

import json
from pathlib import Path

from unimask.datasets import sources
from unimask.datasets.categories import panoptic_classes
from unimask.datasets.panoptic import PanopticDataset
from unimask.datasets.semantic import SemanticDataset
from unimask.datasets.stated_classes import ReadsClasses
from unimask.registry import DATASETS

__all__ = ['MapillaryPanopticDataset', 'MapillarySemanticDataset']


class _Mapillary(ReadsClasses):
    """Classes, things and colours of the configuration file of the data set."""

    SOURCE = sources.MAPILLARY
    CLASSES_FILE = 'config_v1.2.json'
    CLASSES_ORIGIN = ('It comes with the data set, beside the folders training and validation '
                      '(as config.json in its first version).')
    # Without the data set: those of version 1.2.
    METAINFO = panoptic_classes('mapillary')

    @classmethod
    def read_classes(cls, path: str) -> dict:
        """The evaluated labels, which come first; those with instances are things."""
        labels = json.loads(Path(path).read_text(encoding='utf-8'))['labels']
        used = [label for label in labels if label['evaluate']]
        if not used or used != labels[:len(used)]:
            raise ValueError('labels that are not evaluated come before evaluated ones')
        return dict(
            classes=tuple(label['readable'] for label in used),
            thing_classes=tuple(label['readable'] for label in used if label['instances']),
            palette=[tuple(label['color']) for label in used])


@DATASETS.register_module()
class MapillarySemanticDataset(_Mapillary, SemanticDataset):
    """Mapillary Vistas v1.2 with its 65 evaluated classes.

    Index 65 of the files, *unlabelled*, is to be ignored: ``LoadSemanticMap(void_labels=(65,))``.
    """


@DATASETS.register_module()
class MapillaryPanopticDataset(_Mapillary, PanopticDataset):
    """Mapillary Vistas v1.2 panoptic: 65 classes, 37 of them things; category ids 1 to 65."""

    FIRST_CATEGORY_ID = 1

    @property
    def _has_own_classes(self) -> bool:
        return self._are_read or super()._has_own_classes
