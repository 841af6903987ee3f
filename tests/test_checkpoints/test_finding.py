"""Which file a path means."""

import os
from pathlib import Path

import pytest

from unimask.checkpoints import (
    atomic_torch_save,
    checkpoints_of,
    latest_checkpoint,
    read_checkpoint,
)
from unimask.errors import UserError


def test_missing_file_names_what_is_there(tmp_path: Path) -> None:
    (tmp_path / 'iter_200.pth').touch()
    with pytest.raises(UserError, match=r'iter_200\.pth'):
        read_checkpoint(tmp_path / 'iter_20.pth')
    with pytest.raises(UserError, match='does not exist either'):
        read_checkpoint(tmp_path / 'nowhere/iter_20.pth')


def test_folder_stands_for_its_newest_checkpoint(tmp_path: Path) -> None:
    atomic_torch_save(dict(step=3), tmp_path / 'run' / 'iter_3.pth')
    assert read_checkpoint(tmp_path / 'run') == dict(step=3)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='empty holds no checkpoint'):
        read_checkpoint(tmp_path / 'empty')
    atomic_torch_save(dict(step=4), tmp_path / 'other' / 'pytorch_model.bin')
    assert read_checkpoint(tmp_path / 'other') == dict(step=4)


def test_newest_comes_first(tmp_path: Path) -> None:
    for number, name in enumerate(['iter_9.pth', 'iter_10.pth', 'epoch_2.pth', 'iter_4.pth']):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (number, number))
    names = ['iter_4.pth', 'epoch_2.pth', 'iter_10.pth', 'iter_9.pth']
    assert checkpoints_of(tmp_path) == [tmp_path / name for name in names]
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_10.pth'))
    assert [path.name for path in checkpoints_of(tmp_path)] == [
        'iter_10.pth', 'iter_4.pth', 'epoch_2.pth', 'iter_9.pth']


def test_latest_checkpoint_of_a_moved_folder(tmp_path: Path) -> None:
    (tmp_path / 'iter_3.pth').touch()
    (tmp_path / 'last_checkpoint').write_text('/gone/iter_3.pth')
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'iter_3.pth')
    assert latest_checkpoint(tmp_path / 'empty') is None


@pytest.mark.parametrize('note', [b'\xff\xfe\x00', b'', b'a\x00b', b'x' * 5000, b'.'])
def test_damaged_note_is_passed_over(tmp_path: Path, note: bytes) -> None:
    (tmp_path / 'iter_3.pth').touch()
    (tmp_path / 'last_checkpoint').write_bytes(note)
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'iter_3.pth')
