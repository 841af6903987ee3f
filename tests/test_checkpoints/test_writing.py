"""Files that are complete or not there: plain values, atomic, readable, no leftovers."""

import collections
import errno
import multiprocessing
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from unimask.checkpoints import (
    atomic_file,
    atomic_folder,
    atomic_safetensors_save,
    atomic_torch_save,
    atomic_write_bytes,
    atomic_write_text,
    read_checkpoint,
    remove_parts,
    to_plain,
)


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


def test_disk_errors_keep_their_kind(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError) as caught:  # torch would make a RuntimeError of it
            atomic_torch_save(dict(x=torch.zeros(100_000)), tmp_path / 'a.pth')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('umask', [0o022, 0o077, 0o002])
def test_files_have_the_mode_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        atomic_torch_save(dict(x=1), tmp_path / 'a.pth')
        atomic_write_text('schön', tmp_path / 'new' / 'a.txt')
        atomic_write_bytes(b'x', tmp_path / 'a.bin')
    finally:
        os.umask(before)
    for name in ('a.pth', 'new/a.txt', 'a.bin'):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / 'new' / 'a.txt').read_text(encoding='utf-8') == 'schön'


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with atomic_file(tmp_path / 'a') as first:
        first.write(b'first')
        atomic_write_text('second', tmp_path / 'a')
        assert (tmp_path / 'a').read_text() == 'second'
    assert (tmp_path / 'a').read_text() == 'first'


def die_writing(path: Path) -> None:
    with atomic_file(path) as file:
        file.write(b'half')
        file.flush()
        os._exit(1)


def test_parts_of_dead_processes_go(tmp_path: Path) -> None:
    process = multiprocessing.get_context('fork').Process(
        target=die_writing, args=(tmp_path / 'iter_3.pth',))
    process.start()
    process.join()
    (tmp_path / '.somebody.part').touch()
    with atomic_file(tmp_path / 'iter_4.pth'):
        mine, = tmp_path.glob(f'.iter_4.pth.*.{os.getpid()}.*.part')
        removed, = remove_parts(tmp_path)
        assert removed.name.startswith('.iter_3.pth.') and f'.{process.pid}.' in removed.name
        assert mine.exists() and not removed.exists()
    assert {path.name for path in tmp_path.iterdir()} == {'.somebody.part', 'iter_4.pth'}


def test_parts_of_other_machines_go_after_a_day(tmp_path: Path) -> None:
    for name in ('.a.pth.elsewhere.1.0.part', '.b.pth.elsewhere.1.0.part'):
        (tmp_path / name).touch()
    os.utime(tmp_path / '.a.pth.elsewhere.1.0.part', (0, 0))
    assert [path.name for path in remove_parts(tmp_path)] == ['.a.pth.elsewhere.1.0.part']
    assert [path.name for path in tmp_path.iterdir()] == ['.b.pth.elsewhere.1.0.part']


def test_folders_are_whole(tmp_path: Path) -> None:
    """The old one or the new one; what another process left half is swept up."""
    folder = tmp_path / 'deep' / 'folder'
    with atomic_folder(folder) as part:
        (part / 'a').write_text('1')
        assert not folder.exists()
    with pytest.raises(KeyboardInterrupt), atomic_folder(folder) as part:
        (part / 'b').write_text('2')
        raise KeyboardInterrupt
    assert [path.name for path in folder.iterdir()] == ['a']
    with atomic_folder(folder) as part:
        (part / 'c').write_text('3')
    assert [path.name for path in folder.iterdir()] == ['c']
    assert [path.name for path in folder.parent.iterdir()] == ['folder']


def test_a_folder_that_cannot_take_its_place_keeps_the_old_one(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, replace = tmp_path / 'folder', os.replace
    folder.mkdir()
    (folder / 'a').write_text('1')
    names = []

    def refuse(source: Path, target: Path) -> None:
        names.append(target)
        if names.count(folder) == 1 and target == folder:
            raise OSError('no')
        replace(source, target)
    monkeypatch.setattr(os, 'replace', refuse)
    with pytest.raises(OSError, match='no'), atomic_folder(folder) as part:
        (part / 'b').write_text('2')
    assert [path.name for path in tmp_path.glob('*/*')] == ['a']


def test_safetensors_with_shared_memory_and_a_description(tmp_path: Path) -> None:
    shared = torch.arange(6.).reshape(2, 3)
    meta = dict(cfg='model = 1', dataset_meta=dict(classes=('a', 'b')))
    atomic_safetensors_save(dict(a=shared, b=shared.T), tmp_path / 'x.safetensors', meta=meta)
    read = read_checkpoint(tmp_path / 'x.safetensors')
    assert torch.equal(read['state_dict']['b'], shared.T) and read['meta']['cfg'] == 'model = 1'
    assert read['meta']['dataset_meta'] == dict(classes=['a', 'b'])
    atomic_safetensors_save(dict(a=shared), tmp_path / 'y.safetensors')
    assert list(read_checkpoint(tmp_path / 'y.safetensors')) == ['a']
