"""tools/train.py and tools/test.py as a user calls them."""

import json
import pickle
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.test_tools.conftest import CONFIG, ROOT, start


@pytest.fixture(scope='module')
def trained(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work directory of a training that SIGTERM ended."""
    work_dir = tmp_path_factory.mktemp('work')
    process = start('train.py', CONFIG, '--work-dir', work_dir, data_root=shapes,
                    **{'train_cfg.max_iters': 1000, 'train_dataloader.num_workers': 1})
    for line in process.stdout:
        if 'train    3/1000' in line:
            process.send_signal(signal.SIGTERM)
            break
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert 'Go on with:' in err and '--resume' in err
    return work_dir


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_that_resumes(trained: Path, shapes: Path,
                                                  tool: Callable) -> None:
    done = int(re.search(r'iter_(\d+)', (trained / 'last_checkpoint').read_text())[1])
    assert done >= 3
    result = tool('train.py', CONFIG, '--work-dir', trained, '--resume', data_root=shapes,
                  **{'train_cfg.max_iters': done + 1})
    assert result.status == 0, result.err
    assert f'at iteration {done} of {done + 1}' in result.out + result.err
    assert (trained / f'iter_{done + 1}.pth').is_file()
    assert 'panoptic/PQ' in result.out + result.err


def test_ctrl_c_ends_with_130(shapes: Path, tmp_path: Path) -> None:
    process = start('train.py', CONFIG, '--work-dir', tmp_path, data_root=shapes,
                    **{'train_cfg.max_iters': 1000})
    for line in process.stdout:
        if 'train    1/1000' in line:
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert 'Traceback' not in err and 'stopped by SIGINT' in err
    assert (tmp_path / 'last_checkpoint').is_file()


def test_scores_predictions_and_pictures(trained: Path, shapes: Path, tool: Callable,
                                         tmp_path: Path) -> None:
    checkpoint = (trained / 'last_checkpoint').read_text()
    result = tool('test.py', CONFIG, checkpoint, '--work-dir', tmp_path, '--out',
                  tmp_path / 'scores.json', '--out', tmp_path / 'predictions.pkl', '--out',
                  tmp_path / 'new/classes.csv', '--show-dir', tmp_path / 'pictures',
                  data_root=shapes)
    assert result.status == 0, result.err
    scores = json.loads((tmp_path / 'scores.json').read_text())
    assert {'panoptic/PQ', 'instance/AP', 'semantic/mIoU'} <= scores.keys()
    lines = (tmp_path / 'new/classes.csv').read_text().splitlines()
    assert lines[0].startswith('class,panoptic/PQ') and len(lines) == 12
    assert len(pickle.loads((tmp_path / 'predictions.pkl').read_bytes())) == 3
    assert len(list((tmp_path / 'pictures').glob('*.png'))) == 3


def test_tta(trained: Path, shapes: Path, tool: Callable, tmp_path: Path) -> None:
    checkpoint = (trained / 'last_checkpoint').read_text()
    result = tool('test.py', CONFIG, checkpoint, '--work-dir', tmp_path, '--out',
                  tmp_path / 'scores.json', '--tta', data_root=shapes)
    assert result.status == 0, result.err
    scores = json.loads((tmp_path / 'scores.json').read_text())
    assert {'panoptic/PQ', 'instance/AP', 'semantic/mIoU'} <= scores.keys()


def expect_error(result: object, *parts: str) -> None:
    """Exit status 2 and one message with these parts, without a traceback."""
    assert result.status == 2
    assert 'Traceback' not in result.err
    for part in parts:
        assert part in result.err


def test_missing_data(tool: Callable, tmp_path: Path) -> None:
    result = tool('train.py', CONFIG, '--work-dir', tmp_path, data_root=tmp_path / 'none')
    expect_error(result, 'none/annotations/panoptic_train.json', 'data_root=FOLDER',
                 'train_dataloader.dataset.ann_file', 'make_shapes.py')


def test_work_dir_that_cannot_be_made(tool: Callable, tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    for folder in (tmp_path / 'file', tmp_path / 'file' / 'below'):
        expect_error(tool('train.py', CONFIG, '--work-dir', folder), '--work-dir', 'file',
                     'cannot be made')


def test_missing_config_and_wrong_keys(tool: Callable) -> None:
    expect_error(tool('train.py', ROOT / 'configs/demo/mask2former_shape.py'),
                 'there is no config', 'mask2former_shapes.py')
    expect_error(tool('train.py', CONFIG, **{'model.head.num_querys': 3}), 'num_queries')


def test_wrong_checkpoints(trained: Path, shapes: Path, tool: Callable, tmp_path: Path) -> None:
    expect_error(tool('test.py', CONFIG, trained / 'iter_9999.pth', data_root=shapes),
                 'there is no checkpoint', 'iter_9999.pth')
    checkpoint = torch.load((trained / 'last_checkpoint').read_text())
    head = {name: value for name, value in checkpoint['state_dict'].items()
            if name.startswith('head.class_embed')}
    checkpoint['state_dict'].update({name: value[:-2] for name, value in head.items()})
    torch.save(checkpoint, tmp_path / 'other.pth')
    result = tool('test.py', CONFIG, tmp_path / 'other.pth', '--work-dir', tmp_path,
                  data_root=shapes)
    expect_error(result, 'head.class_embed.weight has 10 rows in the checkpoint and 12',
                 'load_from=PATH')


@pytest.mark.slow
def test_truncated_image(shapes: Path, tool: Callable, tmp_path: Path) -> None:
    import shutil
    root = tmp_path / 'broken'
    shutil.copytree(shapes, root)
    for image in (root / 'images/train').iterdir():
        image.write_bytes(image.read_bytes()[:600])
    for workers in (0, 1):
        result = tool('train.py', CONFIG, '--work-dir', tmp_path / 'work', data_root=root,
                      **{'train_dataloader.num_workers': workers})
        expect_error(result, 'images/train/', 'cannot be read')


def test_scripts_explain_themselves() -> None:
    for name in ('dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'):
        done = subprocess.run([ROOT / 'tools' / name], capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.startswith('usage:')
