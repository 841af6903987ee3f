"""Build the wheel of mmcv with its compiled ops; ``setup_env.py`` runs it with ``.venv``'s Python.

It prints what pip and the compiler print, and lines ``note: ...`` for the user.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from setup_env_header import FLAGS, Unusable, environment, precompile


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns pip's exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('requirement', help='mmcv, with its range of versions')
    parser.add_argument('--into', type=Path, required=True, help='folder for the wheel')
    parser.add_argument('--fresh', action='store_true', help='not from what pip keeps')
    parser.add_argument('--plain', action='store_true', help='without a precompiled header')
    options = parser.parse_args(arguments)
    command = [sys.executable, '-m', 'pip', 'wheel', '-v', '--no-input', '--progress-bar', 'off',
               '--disable-pip-version-check', '--no-deps', '--no-build-isolation',
               '--wheel-dir', str(options.into), options.requirement]
    if options.fresh:
        command.append('--no-cache-dir')
    plain = options.plain or (not options.fresh and is_kept(options.requirement))
    return build(command, FLAGS if plain else quick_flags(options.into))


def quick_flags(folder: Path) -> tuple[str, ...]:
    """Compiler flags with a precompiled header; without one, and a note, where that fails."""
    if for_gpu():
        note('the ops are compiled for the GPU as well, which takes far longer')
        return FLAGS
    try:
        return precompile(folder)
    except (Unusable, OSError) as error:
        note(f'without a precompiled header the ops take several minutes more ({error})')
        return FLAGS


def for_gpu() -> bool:
    """Whether mmcv will compile for more than the CPU; the header was never tried with that."""
    import torch
    forced = [name for name, value in os.environ.items()
              if name.startswith('FORCE_') and value == '1']
    return bool(forced) or torch.cuda.is_available()


def is_kept(requirement: str) -> bool:
    """Whether pip keeps a wheel of an earlier build, so that nothing will be compiled."""
    from packaging.requirements import Requirement
    from packaging.tags import sys_tags
    from packaging.utils import parse_wheel_filename
    wanted = Requirement(requirement)
    listed = subprocess.run(
        [sys.executable, '-m', 'pip', 'cache', 'list', wanted.name.replace('-', '_'),
         '--format', 'abspath'], capture_output=True, text=True)
    tags = set(sys_tags())
    for path in listed.stdout.split('\n') if listed.returncode == 0 else ():
        if path.endswith('.whl'):
            _, version, _, own = parse_wheel_filename(Path(path).name)
            if version in wanted.specifier and tags & own:
                return True
    return False


def build(command: Sequence[str], flags: Sequence[str]) -> int:
    """Run pip with these compiler flags, hand its output on, and count refused headers."""
    refused = 0
    with subprocess.Popen(command, env=environment(flags), text=True, errors='replace',
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout:
            print(line, end='', flush=True)
            refused += '[-Winvalid-pch]' in line
    if refused:
        note(f'{refused} files were compiled without the precompiled header, which took longer')
    return process.returncode


def note(text: str) -> None:
    """A line that the set-up shows to the user."""
    print(f'note: {text}', flush=True)


if __name__ == '__main__':
    sys.exit(main())
