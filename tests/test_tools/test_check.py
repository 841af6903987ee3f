"""The commands that look at data: `check` and `browse`."""

import sys
from collections.abc import Callable
from pathlib import Path

import own_folders as folders
import pytest

from tests.test_tools.conftest import ROOT
from unimask.own_data.training import write_config


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable:
    """Call a tool here; gives its status and what it prints."""
    def call(name: str, *words: object) -> tuple[int | None, str]:
        from unimask.cli import run_tool
        path = ROOT / 'tools' / 'misc' / name
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, words)])
        module: dict = dict(__name__='tool')
        exec(compile(path.read_text(), str(path), 'exec'), module)
        status = run_tool(module['main'])
        captured = capfd.readouterr()
        return status, captured.out + captured.err
    return call


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return folders.coco_split(tmp_path / 'own')


def test_check_of_a_folder_and_of_a_config(own: Path, tmp_path: Path, run: Callable) -> None:
    page = tmp_path / 'pages' / 'check.html'
    status, said = run('check.py', own, '--out', page)
    assert not status and 'train: 4 pictures (all looked at)' in said
    assert page.is_file()
    config = write_config(own, tmp_path / 'run', weights=None)
    (own / 'val2017' / 'scene 5.jpg').write_bytes(b'no picture')
    status, said = run('check.py', config, '--out', page)
    assert status == 2 and 'error: val: ' in said and 'scene 5.jpg' in said
    assert 'Traceback' not in said


def test_check_of_nothing(tmp_path: Path, run: Callable) -> None:
    status, said = run('check.py', tmp_path / 'gone')
    assert status == 2 and 'gone is neither a folder of pictures and labels nor a config' in said
    status, said = run('check.py', tmp_path / 'gone.py')
    assert status == 2 and 'there is no config' in said


def test_browse(own: Path, tmp_path: Path, run: Callable) -> None:
    config = write_config(own, tmp_path / 'run', weights=None)
    status, said = run('browse.py', config, '--out', tmp_path / 'seen', '--number', 3)
    assert not status and '3 pictures are in' in said
    assert len(list((tmp_path / 'seen').glob('*.png'))) == 3
    status, said = run('browse.py', tmp_path / 'gone.py')
    assert status == 2 and 'gone.py' in said
