"""Packaging: requirements from files, and configs and tools beside the package (mim convention).

A wheel carries ``unimask/.mim/{configs,tools,requirements}``; an editable install links there
instead, so that code finds both in the same place.
"""
from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = ('configs', 'tools', 'requirements', 'model-index.yml')


def requirements(name: str) -> list[str]:
    """Requirement lines of ``requirements/<name>.txt`` without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


class BuildWithConfigs(build_py):
    """``build_py`` that also ships the files in SHIPPED."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            link(ROOT / 'unimask' / '.mim')
        else:
            copy(Path(self.build_lib) / 'unimask' / '.mim')


def copy(target: Path) -> None:
    """Copy what is shipped into the folder ``target``, replacing what an older build left."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for source in shipped():
        if source.is_dir():
            ignored = shutil.ignore_patterns('__pycache__', '*.pyc')
            shutil.copytree(source, target / source.name, ignore=ignored)
        else:
            shutil.copy2(source, target / source.name)


def link(target: Path) -> None:
    """Link what is shipped into the folder ``target``."""
    target.mkdir(exist_ok=True)
    for source in shipped():
        place = target / source.name
        if not place.is_symlink():
            place.symlink_to(Path('..', '..', source.name))


def shipped() -> list[Path]:
    """Those of SHIPPED that exist."""
    return [ROOT / name for name in SHIPPED if (ROOT / name).exists()]


if __name__ == '__main__':
    setup(
        install_requires=requirements('runtime'),
        extras_require={
            'mm': requirements('mminstall'),
            'tests': requirements('tests'),
            'optional': requirements('optional'),
        },
        cmdclass={'build_py': BuildWithConfigs},
    )
