"""Side-by-side pictures of test images."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from unimask.datasets.transforms.io import read_image
from unimask.registry import HOOKS

__all__ = ['PictureHook']


@HOOKS.register_module()
class PictureHook(Hook):
    """Writes a picture per test image: the image, the truth and the prediction.

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

    def before_test(self, runner: Runner) -> None:
        """Tell the visualizer the classes."""
        self.out_dir.mkdir(parents=True, exist_ok=True)
        runner.visualizer.dataset_meta = runner.test_dataloader.dataset.metainfo

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
        path = Path(sample.metainfo['img_path'])
        image = read_image(str(path))[..., ::-1]
        with torch.no_grad():
            runner.visualizer.add_datasample(
                path.stem, image, data_sample=sample.cpu(), draw_gt=True, draw_pred=True,
                out_file=str(self.out_dir / f'{path.stem}.png'))
