"""Choosing the Python that the environment is made from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = ((3, 10), (3, 11), (3, 12))
PROBE = """
import importlib.util, json, os, sys, sysconfig
print(json.dumps({
    'version': sys.version_info[:3],
    'bits': sys.maxsize.bit_length() + 1,
    'ensurepip': all(importlib.util.find_spec(name) for name in ('venv', 'ensurepip')),
    'headers': os.path.exists(os.path.join(sysconfig.get_paths()['include'], 'Python.h')),
}))
"""


class SetupError(Exception):
    """The set-up cannot go on; the text says why and what to do."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that was found, with what keeps it from being used."""

    path: str
    version: tuple[int, ...]
    problems: tuple[str, ...]


def supported_text() -> str:
    """The supported versions in words."""
    return ', '.join('.'.join(map(str, version)) for version in SUPPORTED)


def examine(path: str) -> Interpreter | None:
    """Look at one Python; None where the command does not run."""
    try:
        done = subprocess.run([path, '-c', PROBE], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        facts = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    version = tuple(facts['version'])
    return Interpreter(path, version, tuple(_problems(version, facts)))


def _problems(version: tuple[int, ...], facts: dict) -> list[str]:
    short = '.'.join(map(str, version[:2]))
    found = []
    if version[:2] not in SUPPORTED:
        found.append(f'version {short} is not supported ({supported_text()} are)')
        return found
    if facts['bits'] != 64:
        found.append('it is a 32-bit build, torch needs 64 bits')
    if not facts['ensurepip']:
        found.append(f'venv or ensurepip is missing (Debian: apt-get install python{short}-venv)')
    if not facts['headers']:
        found.append(f'its C headers are missing (Debian: apt-get install python{short}-dev)')
    return found


def candidates() -> list[str]:
    """Commands to try, the running Python first."""
    own = getattr(sys, '_base_executable', None) or sys.executable
    named = [shutil.which(f'python3.{minor}') for minor in (11, 12, 10)]
    pyenv = Path.home() / '.pyenv' / 'versions'
    managed = [str(path) for minor in (11, 12, 10)
               for path in sorted(pyenv.glob(f'3.{minor}.*/bin/python3'), reverse=True)]
    found = [own, *named, shutil.which('python3'), *managed]
    return list(dict.fromkeys(path for path in found if path))


def choose(paths: Iterable[str]) -> Interpreter:
    """The first Python of ``paths`` that will do.

    Raises:
        SetupError: none will; says for each what is wrong with it.
    """
    seen = []
    for path in paths:
        python = examine(path)
        if python is not None and not python.problems:
            return python
        if python is not None:
            seen.append(python)
    lines = [f'  {python.path}: {"; ".join(python.problems)}' for python in seen]
    raise SetupError('\n'.join([
        f'no usable Python was found. One of {supported_text()} with venv and headers is needed.',
        *lines,
        'Debian: apt-get install python3 python3-venv python3-dev build-essential',
        'Another one: make env PYTHON=/path/to/python3.11']))
