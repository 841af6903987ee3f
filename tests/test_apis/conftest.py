"""A small model with random weights, and pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.test_tools.conftest import CONFIG, SMALL
from unimask.apis import Inferencer
from unimask.preflight import load_config, prepare_config
from unimask.registry import MODELS

METAINFO = dict(classes=['cat', 'grass'], thing_classes=['cat'])


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights for two classes of a user's own, as ``tools/train.py`` stores them."""
    loaded = load_config(CONFIG, SMALL)
    torch.manual_seed(0)
    model = MODELS.build(dict(prepare_config(loaded, mode='predict').model, taxonomy=METAINFO))
    path = tmp_path_factory.mktemp('weights') / 'own.pth'
    torch.save(dict(state_dict=model.state_dict(),
                    meta=dict(dataset_meta=METAINFO, cfg=loaded.pretty_text)), path)
    return path


@pytest.fixture(scope='session')
def inferencer(checkpoint: Path) -> Inferencer:
    """The small model on the CPU."""
    return Inferencer(load_config(CONFIG, SMALL), checkpoint, device='cpu')


def noise(height: int = 40, width: int = 60, *, seed: int = 0, channels: int = 3) -> np.ndarray:
    """A picture of noise, (height, width, channels) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """x.jpg, x.png and y.png, and below them sub/x.jpg."""
    folder = tmp_path / 'pictures'
    (folder / 'sub').mkdir(parents=True)
    for seed, name in enumerate(('x.jpg', 'x.png', 'y.png', 'sub/x.jpg')):
        Image.fromarray(noise(seed=seed)).save(folder / name)
    return folder
