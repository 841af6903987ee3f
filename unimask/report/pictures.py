"""The pictures on which a model is worst: image, truth and prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from torch import nn

from unimask.checkpoints import read_weights
from unimask.datasets.transforms.io import read_image
from unimask.errors import UserError
from unimask.preflight import load_config, prepare_config
from unimask.preflight.state import load_state
from unimask.registry import DATASETS, MODELS
from unimask.visualization import UniversalVisualizer

__all__ = ['draw_worst', 'run_config']


def run_config(path: Path) -> Config:
    """The config of a run, to evaluate by; weights are not looked for.

    Raises:
        UserError: It has no validation data, or they are not there any more.
    """
    cfg = load_config(path)
    if not cfg.get('val_dataloader'):
        raise UserError(f'{path} has no val_dataloader.')
    cfg.load_from = None
    cfg.resume = False
    cfg.model.init_cfg = None
    return prepare_config(cfg, mode='val')


@torch.no_grad()
def draw_worst(config: Path, checkpoint: Path, worst: Sequence[Mapping[str, Any]]
               ) -> Iterator[np.ndarray]:
    """Predict pictures and draw them beside the truth.

    Args:
        config: Of the run.
        checkpoint: Whose predictions are drawn.
        worst: ``index`` in the validation data and ``path`` of each picture.

    Returns:
        RGB pictures, in this order.

    Raises:
        UserError: The data have changed, or the checkpoint does not fit.
    """
    cfg = run_config(config)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    model = _model(cfg, checkpoint)
    visualizer = UniversalVisualizer()
    visualizer.dataset_meta = dataset.metainfo
    for picture in worst:
        _check(dataset, picture)
        item = dataset[picture['index']]
        [sample] = model.test_step({key: [value] for key, value in item.items()})
        yield visualizer.draw(read_image(picture['path'])[..., ::-1], sample.cpu())


def _model(cfg: Config, checkpoint: Path) -> nn.Module:
    model = MODELS.build(cfg.model)
    load_state(read_weights(checkpoint), model, path=str(checkpoint))
    return model.to(get_device()).eval()


def _check(dataset: Any, picture: Mapping[str, Any]) -> None:
    same = picture['index'] < len(dataset) and str(
        dataset.get_data_info(picture['index']).get('img_path')) == picture['path']
    if not same:
        raise UserError(f'{picture["path"]} is no longer number {picture["index"]} of the '
                        'validation data.')
