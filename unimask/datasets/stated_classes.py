"""Classes that a data set states in a file of its own."""

from __future__ import annotations

import os.path as osp

from unimask.datasets.classes import check_names
from unimask.datasets.files import REMEDY
from unimask.errors import UserError

__all__ = ['ReadsClasses']


class ReadsClasses:
    """Mixin for datasets: the classes are read from ``CLASSES_FILE`` below ``data_root``.

    ``METAINFO`` stands in for them where a model is built without the data. Classes that a config
    states are taken as they are, and no file is read.
    """

    CLASSES_FILE = ''
    CLASSES_ORIGIN = ''  # how the file comes about; told when it is missing
    _are_read = False

    @property
    def metainfo(self) -> dict:
        """Classes, thing classes and palette, of the file."""
        self._complete_classes()
        return super().metainfo

    def load_data_list(self) -> list[dict]:
        """As the base, after the classes were read."""
        self._complete_classes()
        return super().load_data_list()

    @classmethod
    def read_classes(cls, path: str) -> dict:
        """``classes`` and what else the file says of them, as metainfo."""
        raise NotImplementedError

    def _complete_classes(self) -> None:
        own = tuple(self._metainfo['classes']) == tuple(self.METAINFO['classes'])
        if self._are_read or not own:
            return
        path, name = osp.join(self.data_root or '', self.CLASSES_FILE), type(self).__name__
        if not osp.isfile(path):
            raise UserError(f'{name}: {path} is not there, which names the classes. '
                            f'{self.CLASSES_ORIGIN} {REMEDY}')
        try:
            found = self.read_classes(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f'{name}: {path} does not name the classes as it should '
                            f'({type(error).__name__}: {error}). {self.CLASSES_ORIGIN}') from error
        check_names(found['classes'], 'classes', f'{name}: {path}')
        self._metainfo.update(found)
        self._are_read = True
