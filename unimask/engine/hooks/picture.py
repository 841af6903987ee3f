"""Side-by-side pictures of test images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from unimask.datasets.transforms.io import read_image
from unimask.registry import HOOKS
from unimask.visualization.naming import unique_names

__all__ = ['PictureHook']


@HOOKS.register_module()
class PictureHook(Hook):
    """Writes a picture per test image: the image, the truth and the prediction.

    It is named after the image; images of the data set that would share a name are told apart, see
    :func:`unimask.visualization.naming.unique_names`.

    Args:
        out_dir: Folder for the pictures.
        interval: Draw every so many images.
        limit: Draw at most so many; None for all.
    """

    def __init__(self, *, out_dir: str, interval: int = 1, limit: int | None = None) -> None:
        self.out_dir = Path(out_dir)
        self.interval = interval
        self.limit = limit
        self._seen = 0
        self._drawn = 0
        self._names: dict[str, str] = {}

    def before_test(self, runner: Runner) -> None:
        """Tell the visualizer the classes, and name the pictures."""
        self.out_dir.mkdir(parents=True, exist_ok=True)
        dataset = runner.test_dataloader.dataset
        runner.visualizer.dataset_meta = dataset.metainfo
        self._names = _names(dataset)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                        outputs: Sequence | None = None) -> None:
        """Draw the images of a batch."""
        for sample in outputs or []:
            wanted = self._seen % self.interval == 0
            self._seen += 1
            if wanted and (self.limit is None or self._drawn < self.limit):
                self._draw(runner, sample)
                self._drawn += 1

    def _draw(self, runner: Runner, sample: object) -> None:
        path = sample.metainfo['img_path']
        # A path that the data set did not tell gets a number.
        name = self._names.get(path) or f'{self._seen:06d}_{Path(path).stem}'
        with torch.no_grad():
            runner.visualizer.add_datasample(
                name, read_image(path)[..., ::-1], data_sample=sample.cpu(), draw_gt=True,
                draw_pred=True, out_file=str(self.out_dir / f'{name}.png'))


def _names(dataset: object) -> dict[str, str]:
    """Name of the picture by path of the image, of a data set that can tell the paths."""
    if not hasattr(dataset, 'get_data_info'):
        return {}
    infos = (dataset.get_data_info(index) for index in range(len(dataset)))
    paths = list(dict.fromkeys(info['img_path'] for info in infos if 'img_path' in info))
    return dict(zip(paths, unique_names(paths), strict=True))
