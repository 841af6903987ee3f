"""Checkpoint files: plain, atomic, and read without running code."""

import collections
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from unimask.checkpoints.checkpoint import (
    atomic_torch_save,
    latest_checkpoint,
    read_checkpoint,
    to_plain,
)
from unimask.errors import UserError
from unimask.preflight.state import load_state


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path('evil-was-here'),))


def test_plain_values_survive_a_safe_read(tmp_path: Path) -> None:
    value = dict(
        tensor=torch.arange(3.), array=np.arange(2), number=np.float64(1.5), path=Path('a/b'),
        milestones=collections.Counter([2, 4]), nested=[(1, 'x', None)], other=object)
    atomic_torch_save(to_plain(value), tmp_path / 'a.pth')
    read = read_checkpoint(tmp_path / 'a.pth')
    assert read['array'] == [0, 1] and read['number'] == 1.5 and read['path'] == 'a/b'
    assert read['milestones'][4] == 1 and read['nested'] == [(1, 'x', None)]
    assert 'object' in read['other'] and torch.equal(read['tensor'], value['tensor'])


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'a.pth'
    atomic_torch_save(dict(x=1), path)

    def broken(value: object, file: object) -> None:
        file.write(b'half')
        raise OSError('disk full')
    monkeypatch.setattr(torch, 'save', broken)
    with pytest.raises(OSError, match='disk full'):
        atomic_torch_save(dict(x=2), path)
    assert read_checkpoint(path) == dict(x=1)
    assert [other.name for other in tmp_path.iterdir()] == ['a.pth']


def test_reading_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict={}, evil=Evil()), 'evil.pth')
    with pytest.raises(UserError, match='--trust-checkpoint'):
        read_checkpoint('evil.pth')
    assert not Path('evil-was-here').exists()
    read_checkpoint('evil.pth', trust=True)
    assert Path('evil-was-here').exists()


def test_numpy_values_of_other_projects_can_be_read(tmp_path: Path) -> None:
    torch.save(dict(mean=np.ones(3, np.float32), best=np.float64(0.5)), tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth')['best'] == 0.5


@pytest.mark.parametrize('content', [b'', b'no checkpoint at all', b'PK\x03\x04 cut short'])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(UserError, match='a.pth cannot be read'):
        read_checkpoint(path)


def test_missing_file_names_what_is_there(tmp_path: Path) -> None:
    (tmp_path / 'iter_200.pth').touch()
    with pytest.raises(UserError, match=r'iter_200\.pth'):
        read_checkpoint(tmp_path / 'iter_20.pth')
    with pytest.raises(UserError, match='does not exist either'):
        read_checkpoint(tmp_path / 'nowhere/iter_20.pth')


def test_folder_of_a_run_stands_for_its_newest_checkpoint(tmp_path: Path) -> None:
    atomic_torch_save(dict(step=3), tmp_path / 'run' / 'iter_3.pth')
    assert read_checkpoint(tmp_path / 'run') == dict(step=3)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='empty holds no checkpoint'):
        read_checkpoint(tmp_path / 'empty')


def test_latest_checkpoint_of_a_moved_folder(tmp_path: Path) -> None:
    (tmp_path / 'iter_3.pth').touch()
    (tmp_path / 'last_checkpoint').write_text('/gone/iter_3.pth')
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'iter_3.pth')
    assert latest_checkpoint(tmp_path / 'empty') is None


class Model(nn.Module):
    """A body and a class head."""

    def __init__(self, classes: int, width: int = 2) -> None:
        super().__init__()
        self.body = nn.Linear(2, width)
        self.class_embed = nn.Linear(width, classes + 1)


def test_other_class_count_is_named() -> None:
    with pytest.raises(UserError, match=r'class_embed\.weight has 134 rows .* and 28 in the'):
        load_state(Model(133).state_dict(), Model(27), path='a.pth')


def test_fine_tuning_starts_the_classes_fresh() -> None:
    theirs, ours = Model(133), Model(27)
    head = ours.class_embed.weight.clone()
    load_state(theirs.state_dict(), ours, path='a.pth', fine_tune=True)
    assert torch.equal(ours.body.weight, theirs.body.weight)
    assert torch.equal(ours.class_embed.weight, head)


@pytest.mark.parametrize('fine_tune', [True, False])
def test_other_width_is_an_error(fine_tune: bool) -> None:
    with pytest.raises(UserError, match=r'body.weight is \(3, 2\) in the checkpoint and \(2, 2\)'):
        load_state(Model(5, width=3).state_dict(), Model(5), path='a.pth', fine_tune=fine_tune)


def test_names_must_agree() -> None:
    state = Model(5).state_dict()
    state['extra'] = state.pop('body.bias')
    with pytest.raises(UserError, match=r'lacks 1 .*body.bias.* has 1 .*extra'):
        load_state(state, Model(5), path='a.pth')
    load_state(state, Model(5), path='a.pth', fine_tune=True)
    with pytest.raises(UserError, match='convert.py'):
        load_state({'sem_seg_head.x': torch.ones(1)}, Model(5), path='a.pth', fine_tune=True)
