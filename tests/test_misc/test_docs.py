"""The pages: they build, their Python examples run, and the files their commands name exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from unimask.__main__ import COMMANDS, _tool
from unimask.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path for path in [*ROOT.glob('*.md'), *(ROOT / 'docs').glob('*.md'),
                                 *(ROOT / 'configs').glob('*/README.md')])
BLOCK = re.compile(r'^```(\w+)\n(.*?)^```', flags=re.MULTILINE | re.DOTALL)
NAMED_FILE = re.compile(r'(?<![\w/.])(?:tools|configs|tests|docs)/[\w./-]+\.\w+')


def blocks(page: Path, *languages: str) -> list[str]:
    """Fenced blocks of these languages."""
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def with_examples() -> list:
    """Pages with Python; those beside the first one are slow together."""
    return [pytest.param(page, id=name(page),
                         marks=[] if name(page) == 'README.md' else [pytest.mark.slow])
            for page in PAGES if blocks(page, 'python')]


@pytest.mark.parametrize('page', with_examples())
def test_python_examples_run(page: Path, tmp_path: Path) -> None:
    """The blocks of a page run one after the other, in a copy of the checkout's layout."""
    for folder in ('configs', 'tools', 'requirements'):
        (tmp_path / folder).symlink_to(ROOT / folder)
    done = subprocess.run(
        [sys.executable, '-c', '\n'.join(blocks(page, 'python'))], cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_named_files_exist(page: Path) -> None:
    missing = {path for path in NAMED_FILE.findall(page.read_text()) if not (ROOT / path).exists()}
    assert missing == set()


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Tool and options of the commands in blocks and in single quotes of code."""
    found = []
    for line in re.findall(r'`([^`\n]+)`|^([^`\n]+)$', text.replace('\\\n', ' '), re.MULTILINE):
        words = (line[0] or line[1]).partition('#')[0].split()
        if words[:1] == ['unimask'] and len(words) > 1 and words[1] in COMMANDS:
            found.append((_tool(words[1], words[2:]), words[2:]))
        elif words[:1] == ['python'] and len(words) > 1 and words[1].startswith('tools/'):
            found.append((words[1].removeprefix('tools/'), words[2:]))
    return found


def options(tool: str) -> set[str]:
    """Those that a tool's parser knows."""
    path = ROOT / 'tools' / tool
    text = path.read_text()
    if 'add_common_options' in text:
        text += (ROOT / 'unimask' / 'cli.py').read_text()
    for package in re.findall(r'^ *from (\w+)', text, re.MULTILINE):  # in a folder beside it
        text += ''.join(part.read_text() for part in (path.parent / package).glob('*.py'))
    return {'--help', *re.findall(r"'(--[\w-]+)'", text)}


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_options_exist(page: Path) -> None:
    wrong = [f'{tool} {word}' for tool, words in commands(page.read_text()) for word in words
             if word.startswith('--') and word.partition('=')[0] not in options(tool)]
    assert wrong == []


def test_options_are_found_in_blocks_and_tables() -> None:
    text = ('| `a` | `unimask report RUN --evaluat`, `--x` |\n'
            '```bash\nunimask train --data F --out R\n'
            'python tools/test.py C \\\n  --out F --wrong\n```\n')
    assert commands(text) == [
        ('analysis_tools/report.py', ['RUN', '--evaluat']),
        ('misc/train_folder.py', ['--data', 'F', '--out', 'R']),
        ('test.py', ['C', '--out', 'F', '--wrong'])]
    assert '--evaluate' in options('analysis_tools/report.py')
    assert {'--out', '--work-dir'} <= options('test.py')


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r'^([a-z]+):', (ROOT / 'Makefile').read_text(), flags=re.MULTILINE))
    named = set(re.findall(r'(?:^|`)make ([a-z]+)', page.read_text(), flags=re.MULTILINE))
    assert named <= targets


def test_blocks_are_found_by_language(tmp_path: Path) -> None:
    page = tmp_path / 'page.md'
    page.write_text('# T\n```python\nx = 1\n```\ntext\n```bash\nls\n```\n'
                    '```python\nassert x\n```\n')
    assert blocks(page, 'python') == ['x = 1\n', 'assert x\n']
    assert blocks(page, 'bash') == ['ls\n']


@pytest.mark.slow
def test_pages_build_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going', '-b', 'html',
         '-d', tmp_path / 'doctrees', ROOT / 'docs', tmp_path / 'html'],
        env={**os.environ, 'PYTHONPATH': str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    components = (tmp_path / 'html' / '_generated' / 'components.html').read_text()
    ours = [kind for kind, component in MODELS.module_dict.items()
            if component.__module__.startswith('unimask.')]
    assert [kind for kind in ours if kind not in components] == []
    assert 'Setting up' in (tmp_path / 'html' / 'index.html').read_text()
