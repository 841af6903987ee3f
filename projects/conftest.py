"""What the tests of projects share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import torch
from mmengine.config import Config

from unimask.preflight import load_config, prepare_config
from unimask.utils import register_all_modules


@pytest.fixture(scope='session', autouse=True)
def _registered() -> None:
    register_all_modules()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Shapes data set."""
    from shapes_maker import make_shapes
    root = tmp_path_factory.mktemp('data') / 'shapes'
    make_shapes(root, num_train=6, num_val=2, size=96)
    return root


@pytest.fixture
def short_run(shapes: Path, tmp_path: Path) -> Callable[..., Config]:
    """Prepares a config on Shapes for a run of a few iterations, without evaluation."""
    def prepare(config: Path, **options: object) -> Config:
        cfg = prepare_config(load_config(config, {
            'data_root': str(shapes), 'crop_size': 64, 'batch_size': 2,
            'work_dir': str(tmp_path / 'run'), 'experiment_name': uuid4().hex,
            'default_hooks.logger.interval': 1, **options}))
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        return cfg
    return prepare
