"""The wheel carries what the package needs at run time, and configs and tools beside it."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest


@pytest.fixture(scope='module')
def wheel(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel built from a copy of the source tree."""
    source, target = (tmp_path_factory.mktemp(name) for name in ('source', 'dist'))
    ignored = shutil.ignore_patterns('__pycache__', '.mim', '*.so')
    for name in ('unimask', 'configs', 'tools', 'requirements'):
        shutil.copytree(repo / name, source / name, ignore=ignored)
    for name in ('setup.py', 'setup.cfg', 'pyproject.toml', 'LICENSE', 'README.md'):
        if (repo / name).exists():
            shutil.copy(repo / name, source)
    command = ('from setuptools import build_meta; import sys; '
               'build_meta.build_wheel(sys.argv[1])')
    done = subprocess.run([sys.executable, '-c', command, str(target)], cwd=source,
                          capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': ''})
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(target.glob('*.whl')))


def test_every_module_config_and_tool_is_inside(wheel: zipfile.ZipFile, repo: Path) -> None:
    inside = set(wheel.namelist())
    modules = {str(path.relative_to(repo)) for path in (repo / 'unimask').rglob('*.py')
               if '.mim' not in path.parts}
    assert modules <= inside
    for folder in ('configs', 'tools'):
        files = {f'unimask/.mim/{path.relative_to(repo)}' for path in (repo / folder).rglob('*')
                 if path.is_file() and '__pycache__' not in path.parts}
        assert files
        assert files <= inside


def test_sources_of_the_cpu_kernels_are_inside(wheel: zipfile.ZipFile, repo: Path) -> None:
    sources = {path.name for path in (repo / 'unimask' / 'ops' / 'cpu' / 'csrc').glob('*')
               if path.suffix in ('.cpp', '.h')}
    inside = {Path(name).name for name in wheel.namelist()
              if name.startswith('unimask/ops/cpu/csrc/')}
    assert sources
    assert sources <= inside


def test_classes_of_data_sets_are_inside(wheel: zipfile.ZipFile, repo: Path) -> None:
    files = {str(path.relative_to(repo))
             for path in (repo / 'unimask' / 'datasets' / 'categories').glob('*.json')}
    assert len(files) == 5
    assert files <= set(wheel.namelist())


def test_nothing_else_is_inside(wheel: zipfile.ZipFile) -> None:
    tops = {name.split('/')[0] for name in wheel.namelist()}
    assert {re.sub(r'-.*\.dist-info', '', top) for top in tops} == {'unimask'}
    assert not [name for name in wheel.namelist() if name.endswith(('.pyc', '.so'))]


def test_metadata(wheel: zipfile.ZipFile) -> None:
    from unimask import __version__
    name = next(name for name in wheel.namelist() if name.endswith('/METADATA'))
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata['Name'] == 'unimask'
    assert metadata['Version'] == __version__
    assert set(metadata['Requires-Python'].split(',')) == {'>=3.10', '<3.14'}
    needed = metadata.get_all('Requires-Dist')
    plain = {re.split(r'[<>=!~ ;]', line)[0] for line in needed if 'extra ==' not in line}
    assert {'torch', 'torchvision', 'timm', 'scipy', 'pycocotools'} <= plain
    # Of OpenMMLab's only what comes as a wheel that nothing has to be compiled for.
    assert {name for name in plain if name.startswith(('mm', 'onedl'))} == {'onedl-mmengine'}
    assert {'mm', 'tests', 'optional'} == set(metadata.get_all('Provides-Extra'))
    full = {re.split(r'[<>=!~ ;]', line)[0] for line in needed if "extra == 'mm'" in line or
            'extra == "mm"' in line}
    assert {'onedl-mmcv', 'onedl-mmdetection', 'onedl-mmsegmentation', 'cityscapesscripts'} <= full


def test_editable_install_links_configs_and_tools(repo: Path, tmp_path: Path) -> None:
    for name in ('configs', 'tools', 'requirements'):
        (tmp_path / name).mkdir()
    (tmp_path / 'unimask').mkdir()
    shutil.copy(repo / 'setup.py', tmp_path)
    code = 'import setup; target = setup.ROOT / "unimask" / ".mim"; setup.link(target); ' \
           'setup.link(target)'
    subprocess.run([sys.executable, '-c', code], cwd=tmp_path, check=True)
    links = tmp_path / 'unimask' / '.mim'
    assert {path.name for path in links.iterdir()} == {'configs', 'tools', 'requirements'}
    assert (links / 'configs').resolve() == (tmp_path / 'configs').resolve()
