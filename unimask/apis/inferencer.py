"""Predictions for pictures, in three lines of Python.

::

    inferencer = Inferencer('config.py', 'checkpoint.pth')
    samples = inferencer(['a.jpg', 'b.png'], out_dir='out')
    samples[0].pred_panoptic_seg.sem_seg
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.device import get_device
from torch import nn

from unimask.apis.results import write_json
from unimask.checkpoints import classes_of, read_checkpoint, weights_of
from unimask.datasets.transforms.io import read_image
from unimask.errors import UserError
from unimask.preflight import load_config, prepare_config
from unimask.preflight.state import load_state
from unimask.registry import INFERENCERS, MODELS, TRANSFORMS
from unimask.visualization import UniversalVisualizer

__all__ = ['Inferencer', 'find_images']

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')
# Steps of a test pipeline that a picture without annotation needs; the others load annotation.
_ANNOTATION_STEPS = ('LoadPanopticMap', 'LoadSemanticMap', 'LoadInstances', 'InstanceShapes',
                     'LoadAnnotations', 'LoadPanopticAnnotations')

Image = str | Path | np.ndarray


@INFERENCERS.register_module()
class Inferencer:
    """A trained model that takes pictures and gives predictions.

    Args:
        config: Config file, or a config.
        checkpoint: Path or URL; None for random weights. The classes are those it was trained
            with, if it says so.
        device: Such as ``cpu`` or ``cuda:0``; None for a GPU where there is one.
        trust_checkpoint: Let the checkpoint run code while it is read.

    Raises:
        UserError: Config or checkpoint are missing or do not fit each other.
    """

    def __init__(self, config: str | Path | Config, checkpoint: str | Path | None = None, *,
                 device: str | None = None, trust_checkpoint: bool = False) -> None:
        cfg = config if isinstance(config, Config) else load_config(config)
        cfg = prepare_config(cfg, mode='predict')
        state = {} if checkpoint is None else read_checkpoint(checkpoint, trust=trust_checkpoint)
        known = classes_of(state, path=str(checkpoint))
        if known is not None:
            cfg.model.taxonomy = known
        self.device = torch.device(device or get_device())
        self.model = _build(cfg)
        if checkpoint is not None:
            load_state(weights_of(state, path=checkpoint), self.model, path=str(checkpoint))
        self.model.to(self.device).eval()
        self.pipeline = Compose(list(_steps(cfg)))

    def __call__(self, images: Image | Sequence[Image], *, out_dir: str | Path | None = None,
                 batch_size: int = 1) -> list[DetDataSample]:
        """Predict.

        Args:
            images: A picture, a folder of pictures, or a list of pictures: paths, or arrays
                (h, w, 3) uint8, BGR.
            out_dir: Folder for a picture of each prediction and for ``predictions.json``.
            batch_size: Pictures per forward pass.

        Returns:
            A data sample per picture, in order, with ``pred_panoptic_seg``, ``pred_instances``
            and ``pred_sem_seg``, as far as the config's ``test_cfg.tasks`` asks for them.

        Raises:
            UserError: There is no such picture.
        """
        found = find_images(images)
        samples: list[DetDataSample] = []
        for start in range(0, len(found), batch_size):
            samples += self.predict(found[start:start + batch_size])
            if out_dir is not None:
                for image, sample in zip(found[start:], samples[start:], strict=False):
                    self.draw(image, sample, Path(out_dir))
        if out_dir is not None:
            write_json(samples, self.model.taxonomy, Path(out_dir) / 'predictions.json')
        return samples

    @torch.no_grad()
    def predict(self, images: Sequence[str | np.ndarray]) -> list[DetDataSample]:
        """Predict one batch of paths or arrays."""
        packed = [self.pipeline(_start(image, number)) for number, image in enumerate(images)]
        batch = {key: [item[key] for item in packed] for key in ('inputs', 'data_samples')}
        return [sample.cpu() for sample in self.model.test_step(batch)]

    def draw(self, image: str | np.ndarray, sample: DetDataSample, out_dir: Path) -> Path:
        """Write a picture of an image and its prediction; return its path."""
        taxonomy = self.model.taxonomy
        visualizer = UniversalVisualizer()
        visualizer.dataset_meta = dict(
            classes=taxonomy.classes, palette=taxonomy.palette,
            thing_classes=[taxonomy.classes[number] for number in taxonomy.thing_ids])
        path = out_dir / f'{_name(sample)}.png'
        pixels = read_image(image) if isinstance(image, str) else image
        visualizer.add_datasample(path.stem, pixels[..., ::-1], data_sample=sample, draw_gt=False,
                                  out_file=str(path))
        return path


def find_images(images: Image | Sequence[Image]) -> list[str | np.ndarray]:
    """Every picture that a path, a folder, an array or a list of these means.

    Raises:
        UserError: A path does not exist, or a folder has no pictures.
    """
    if isinstance(images, np.ndarray):
        return [images]
    if not isinstance(images, (str, Path)):
        return [found for image in images for found in find_images(image)]
    path = Path(images)
    if path.is_file():
        return [str(path)]
    if not path.is_dir():
        raise UserError(f'there is no picture or folder {path}')
    found = sorted(str(file) for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise UserError(f'the folder {path} has no pictures ({", ".join(IMAGE_SUFFIXES)})')
    return found


def _build(cfg: Config) -> nn.Module:
    model = dict(cfg.model, init_cfg=None)
    return MODELS.build(model)


def _steps(cfg: Config) -> Iterator[object]:
    """The test pipeline without what loads annotation."""
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if not loader:
        raise UserError('the config has no test_dataloader, whose pipeline prepares the pictures')
    dataset = loader['dataset']
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset['dataset']
    for step in dataset['pipeline']:
        kind = step['type'].rsplit('.', 1)[-1]
        if kind == 'LoadImage':
            yield _LoadImage()
        elif kind == 'PackSegInputs':
            yield TRANSFORMS.build(dict(type=step['type']))
        elif kind not in _ANNOTATION_STEPS:
            yield TRANSFORMS.build(step)


class _LoadImage:
    """Reads a picture, unless it is there as an array."""

    def __call__(self, results: dict) -> dict:
        if 'img' not in results:
            results['img'] = read_image(results['img_path'])
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results


def _start(image: str | np.ndarray, number: int) -> dict:
    if isinstance(image, str):
        return dict(img_path=image, img_id=number)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UserError(f'an image array must be (h, w, 3) uint8, BGR, not {image.shape} '
                        f'{image.dtype}')
    return dict(img=image, img_path=f'array_{number}', img_id=number)


def _name(sample: DetDataSample) -> str:
    return Path(sample.metainfo['img_path']).stem
