"""With this folder in PYTHONPATH a process has the light installation: the rest does not import."""

import sys
from importlib.abc import MetaPathFinder

REFUSED = {'mmdet', 'mmseg', 'mmcv', 'cityscapesscripts'}


class Missing(MetaPathFinder):
    """Finds none of the libraries that only the full installation has."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition('.')[0] in REFUSED:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)


sys.meta_path.insert(0, Missing())
