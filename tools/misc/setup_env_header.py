"""A precompiled header that spares mmcv's build most of its time.

Each of mmcv's files reads the same headers of torch, which takes longer than compiling the file
itself. gcc can read them once and keep the result, but ignores it in silence wherever the flags
differ in the least. So nothing is guessed here: a tiny extension that is built the way mmcv builds
its own tells the flags, and a second build of it shows whether the compiler takes the header.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# In place of Python's own flags: debug information that nobody reads takes half of the time, and
# warnings that nobody reads a twentieth.
FLAGS = ('-g0', '-O2', '-DNDEBUG', '-fwrapv')
HEADER = 'torch/types.h'
PROBE = """
from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension
probe = CppExtension('mmcv._ext', ['probe.cpp'], extra_compile_args={'cxx': ['-std=c++17']})
setup(name='probe', ext_modules=[probe], cmdclass={'build_ext': BuildExtension})
"""


class Unusable(Exception):
    """The header cannot be used here; the text says why."""


def environment(flags: Sequence[str]) -> dict[str, str]:
    """The environment with ``flags`` for the compiler, before those of the user."""
    return {**os.environ, 'CFLAGS': f'{shlex.join(flags)} {os.environ.get("CFLAGS", "")}'.strip()}


def precompile(folder: Path) -> tuple[str, ...]:
    """Make the header in ``folder``.

    Returns:
        Flags that compile with it.

    Raises:
        Unusable: the compiler is of another kind, cannot make the header or does not take it.
    """
    if not sys.platform.startswith('linux') or not is_gcc(compiler()):
        raise Unusable('that is known to work with gcc on Linux alone')
    header = folder / 'unimask_precompiled.h'
    header.write_text(f'#include <{HEADER}>\n')
    line = compile_line(probe(folder, FLAGS))
    call(header_command(line, header), folder=folder)
    flags = (*FLAGS, '-Winvalid-pch', '-include', str(header))
    if not is_used(probe(folder, (*flags, '-H')), header):
        raise Unusable('the compiler ignores the header that it made itself')
    return flags


def compiler() -> list[str]:
    """The C++ compiler that torch's extensions are built with."""
    return shlex.split(os.environ.get('CXX') or 'c++')


def is_gcc(command: Sequence[str]) -> bool:
    """Whether a compiler is gcc and not one that only claims to be."""
    try:
        done = subprocess.run([*command, '-dM', '-E', '-x', 'c++', os.devnull],
                              capture_output=True, text=True)
    except OSError:
        return False
    return ' __GNUC__ ' in done.stdout and ' __clang__ ' not in done.stdout


def probe(folder: Path, flags: Sequence[str]) -> str:
    """What the build of a tiny extension prints with these flags."""
    (folder / 'probe.py').write_text(PROBE)
    (folder / 'probe.cpp').write_text('#include <vector>\n')
    command = [sys.executable, 'probe.py', 'build_ext', '--build-lib', '.', '--build-temp', '.']
    return call(command, folder=folder, env=environment(flags))


def call(command: Sequence[str], *, folder: Path, env: dict[str, str] | None = None) -> str:
    """Run a command in ``folder`` and return what it prints; a failure means Unusable."""
    try:
        done = subprocess.run(command, cwd=folder, env=env, text=True, errors='replace',
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        raise Unusable(f'`{command[0]}` does not start: {error}') from error
    if done.returncode:
        print(done.stdout)
        raise Unusable(f'`{shlex.join(command)[:60]} ...` ended with status {done.returncode}')
    return done.stdout


def compile_line(output: str) -> list[str]:
    """The command in a build's output that compiled ``probe.cpp``, without ninja's counter."""
    for line in output.splitlines():
        words = shlex.split(re.sub(r'^\[\d+/\d+\] ', '', line)) if ' -c ' in line else []
        if any(word.endswith('probe.cpp') for word in words):
            return words
    raise Unusable('the build does not show how it compiles')


def header_command(line: Sequence[str], header: Path) -> list[str]:
    """The command that precompiles ``header`` the way ``line`` compiles ``probe.cpp``."""
    kept, words = [], iter(line)
    for word in words:
        if word in ('-o', '-MF'):
            next(words, None)
        elif word not in ('-c', '-MMD') and not word.endswith('probe.cpp'):
            kept.append(word)
    return [*kept, '-x', 'c++-header', str(header), '-o', f'{header}.gch']


def is_used(output: str, header: Path) -> bool:
    """Whether gcc's ``-H`` says that the precompiled header was taken: ``!``, else ``x``."""
    marks = re.findall(rf'^\W*([!x]) {re.escape(str(header))}\.gch$', output, re.MULTILINE)
    return marks == ['!']
