"""The commands of docs/ten_minutes.md, for each of its formats, on a few tiny pictures."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from glob import glob
from pathlib import Path
from uuid import uuid4

import own_folders as folders
import pytest
from mmengine.logging import MMLogger

from unimask.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs' / 'ten_minutes.md').read_text()
MADE: dict[str, tuple[Callable[[Path], Path], str]] = {
    'COCO instances': (folders.coco_split, 'instance'),
    'Roboflow': (folders.roboflow, 'instance'),
    'COCO panoptic': (folders.panoptic, 'panoptic'),
    'Label maps': (folders.label_maps, 'semantic'),
    'A PNG for every object': (folders.object_masks, 'instance'),
    'YOLO polygons': (folders.yolo, 'instance')}
COMMANDS = re.findall(r'^unimask .*$', PAGE, re.MULTILINE)
SHORT = ['--iters', '2', '--weights', 'none', '--seed', '1']  # so that a test is no training
Status = tuple[int, str]


def words_of(command: str) -> list[str]:
    """What a shell would pass on, in the current folder."""
    words = [file for word in shlex.split(command)
             for file in (sorted(glob(word)) if '*' in word else [word])]
    return words + SHORT if words[1] == 'train' else words


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with two new pictures."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        folders.write_image(tmp_path / 'pictures' / f'new {number}.jpg', number)
    return tmp_path


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
               ) -> Callable[[list[str]], Status]:
    """Give a command in this process, which saves the imports."""
    def call(words: list[str]) -> Status:
        MMLogger.get_instance(uuid4().hex)  # loggers write where the capture of their test was
        monkeypatch.setattr(sys, 'argv', words)
        monkeypatch.setattr(sys, 'path', [*sys.path])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return ended.value.code, said.out + said.err
    return call


def in_shell(words: list[str]) -> Status:
    done = subprocess.run(
        [sys.executable, '-m', *words], capture_output=True, text=True, timeout=600,
        env={**os.environ, 'PYTHONPATH': str(ROOT)})
    return done.returncode, done.stdout + done.stderr


def trees() -> Iterator[tuple[str, list[str]]]:
    """Formats of the page and the files of their folders."""
    for title, block in re.findall(r'^### (.*?)$.*?^```text\n(.*?)^```', PAGE,
                                   re.MULTILINE | re.DOTALL):
        yield title, block.split()


def contents(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size)
            for path in folder.rglob('*') if path.is_file()}


def ten_minutes(here: Path, title: str, give: Callable[[list[str]], Status]) -> None:
    """Everything on the page, and once more."""
    make, task = MADE[title]
    own = contents(make(here / 'leaves'))
    for command in COMMANDS:
        status, said = give(words_of(command))
        assert status == 0, f'{command}\n{said}'
    check_files(here, task)
    assert contents(here / 'leaves') == own
    run = contents(here / 'run')
    status, said = give(words_of('unimask train --data leaves --out run'))
    assert status == 2 and 'holds a run already' in said and 'Traceback' not in said
    assert contents(here / 'run') == run


def check_files(here: Path, task: str) -> None:
    for file in ('check.html', 'run/config.py', 'run/report.html', 'run/last_checkpoint',
                 'scores.json', 'classes.csv'):
        assert (here / file).stat().st_size, file
    best, = (here / 'run').glob('best_*.pth')
    name = dict(semantic='semantic/mIoU', instance='instance/AP', panoptic='panoptic/PQ')[task]
    assert name in json.loads((here / 'scores.json').read_text())
    assert (here / 'classes.csv').read_text().startswith(f'class,{name.partition("/")[0]}/')
    assert list((here / 'compared').glob('scene *.png'))
    predictions = json.loads((here / 'predictions' / 'predictions.json').read_text())
    assert [Path(each['image']).name for each in predictions] == ['new 0.jpg', 'new 1.jpg']
    maps = {'semantic', 'panoptic'} & {task, *(['semantic'] if task == 'panoptic' else [])}
    for number in range(2):
        assert (here / 'predictions' / f'new {number}.png').is_file()
        for folder in maps:
            assert (here / 'predictions' / folder / f'new {number}.png').is_file()
    assert all(key in predictions[0] for key in maps)
    assert ('instances' in predictions[0]) == (task != 'semantic')


def test_the_page_names_the_formats_and_their_files(tmp_path: Path) -> None:
    named = dict(trees())
    assert list(named) == list(MADE)
    for title, patterns in named.items():
        folder = MADE[title][0](tmp_path / title)
        assert [pattern for pattern in patterns if not list(folder.glob(pattern))] == []
    assert [command.split()[1] for command in COMMANDS] == ['check', 'train', 'test', 'predict']


@pytest.mark.parametrize('title', [
    title if title == 'Label maps' else pytest.param(title, marks=pytest.mark.slow)
    for title in MADE])
def test_every_format(title: str, here: Path, in_process: Callable[[list[str]], Status]) -> None:
    ten_minutes(here, title, in_process)


@pytest.mark.slow
def test_on_the_command_line(here: Path) -> None:
    """Each command in a process of its own, as a stranger gives them."""
    ten_minutes(here, 'YOLO polygons', in_shell)
