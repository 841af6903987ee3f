"""A little Shapes dataset, and the tools called in this process or in one of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from mmengine.logging import MMLogger

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/demo/mask2former_shapes.py'
SMALL = {
    'model.backbone.model_name': 'resnet10t', 'model.neck.num_layers': 1,
    'model.head.num_layers': 3, 'train_dataloader.batch_size': 2,
    'default_hooks.logger.interval': 1, 'default_hooks.checkpoint.interval': 2,
    'default_hooks.record': None}  # and so no report


@pytest.fixture(scope='session')
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scenes for training and three held out."""
    from shapes_maker import make_shapes
    root = tmp_path_factory.mktemp('data') / 'shapes'
    make_shapes(root, num_train=6, num_val=3, size=96)
    return root


def command(tool: str, *words: object, **options: object) -> list[str]:
    """A command line with the options of a very small run."""
    pairs = [f'{key}={value}' for key, value in {**SMALL, **options}.items()]
    return [str(ROOT / 'tools' / tool), *map(str, words), '--cfg-options', *pairs]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable:
    """Call a tool here: ``tool('train.py', words..., **{'config.key': value})``."""
    def call(name: str, *words: object, **options: object) -> SimpleNamespace:
        # Loggers live on and write where the capture of their test was: take new ones.
        MMLogger.get_instance(uuid4().hex)
        line = command(name, *words, experiment_name=uuid4().hex, **options)
        monkeypatch.setattr(sys, 'argv', line)
        module: dict = dict(__name__='tool')
        exec(compile(Path(line[0]).read_text(), line[0], 'exec'), module)
        from unimask.cli import run_tool
        status = run_tool(module['main'])
        captured = capfd.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)
    return call


def start(name: str, *words: object, **options: object) -> subprocess.Popen:
    """Start a tool in a process of its own."""
    return subprocess.Popen(
        [sys.executable, *command(name, *words, **options)], text=True, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONUNBUFFERED': '1'})
