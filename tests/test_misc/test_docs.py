"""The pages: they build, their Python examples run, and the files their commands name exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def with_examples() -> list[Path]:
    return [page for page in PAGES if blocks(page, 'python')]


@pytest.mark.parametrize('page', with_examples(), ids=name)
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
