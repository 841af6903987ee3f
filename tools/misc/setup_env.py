"""Make ``.venv`` with everything unimask needs.

The command is ``make env``; the script needs the standard library alone. A second run finds the
stamp of the first and ends at once; where requirements or installed packages changed since, every
step is looked at again and only what is missing or broken is mended. Everything that the steps
print goes to ``.venv/setup.log``.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from setup_env_process import CommandFailed, clean_environment, diagnose, duration, run
from setup_env_python import SUPPORTED, SetupError, candidates, choose

ROOT = Path(__file__).resolve().parents[2]
DISK_NEEDED = 12e9
MEMORY_PER_JOB = 2e9
STAMPED = ('requirements/torch.txt', 'requirements/build.txt', 'requirements/mminstall.txt',
           'requirements/runtime.txt', 'requirements/tests.txt', 'requirements/docs.txt',
           'setup.py', 'setup.cfg')


@dataclass(frozen=True)
class Step:
    """One step inside the environment.

    Attributes:
        title: What it does, for the user.
        install: Arguments of ``python -m pip install``; empty where there is nothing to install.
        checks: Names of the doctor's checks that must pass afterwards.
        repair: Arguments of ``pip install`` that mend it where the checks fail.
        takes: How long it may take, for the user.
        env: Environment variables of its commands.
    """

    title: str
    install: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    repair: tuple[str, ...] = ()
    takes: str = ''
    env: tuple[tuple[str, str], ...] = ()


def steps(*, mmcv: str, env: tuple[tuple[str, str], ...]) -> list[Step]:
    """The steps after the virtual environment itself, in order.

    Args:
        mmcv: Requirement of the mmcv distribution.
        env: Environment variables for compiling it.
    """
    pair = ('-r', 'requirements/torch.txt')
    pins = ('-c', 'requirements/torch.txt', '-c', 'requirements/build.txt')
    no_isolation = ('--no-build-isolation', *pins)
    others = [('-r', f'requirements/{name}.txt')
              for name in ('mminstall', 'runtime', 'tests', 'docs')]
    afresh = ('--force-reinstall', '--no-deps')
    return [
        Step('torch and torchvision', pair, ('torchvision',), (*afresh, *pair),
             takes='downloads about 3 GB the first time'),
        Step('build tools', ('-r', 'requirements/build.txt', *pins), ('setuptools', 'numpy')),
        Step('mmcv with compiled ops', ('-v', *no_isolation, mmcv), ('mmcv-cpu',),
             ('-v', '--no-cache-dir', *afresh, *no_isolation, mmcv),
             takes='compiles for 8 to 13 minutes on two cores the first time', env=env),
        Step('other libraries', (*no_isolation, *sum(others, ())), ('distributions', 'libraries')),
        Step('OpenCV', (), ('opencv',), (*afresh, 'opencv-python-headless<4.13')),
        Step('unimask itself', ('-e', '.', '--no-deps', '--no-build-isolation'), ('unimask',)),
    ]


class Setup:
    """Runs the steps for one checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / '.venv'
        self.python = str(self.venv / 'bin' / 'python')
        self.log = self.venv / 'setup.log'
        self.stamp = self.venv / 'setup.json'

    def ready(self) -> bool:
        """Whether the stamp of an earlier run fits what is there now."""
        try:
            return json.loads(self.stamp.read_text()) == self.state()
        except (OSError, ValueError):
            return False

    def state(self) -> dict[str, str | list[str]]:
        """What the environment depends on and what is installed in it."""
        digest = hashlib.sha256()
        for name in STAMPED:
            digest.update((self.root / name).read_bytes())
        installed = sorted(path.name for path in self.venv.glob('lib/python*/site-packages/*-info'))
        return {'requirements': digest.hexdigest(), 'installed': installed}

    def make(self) -> None:
        """Do every step.

        Raises:
            SetupError: a step failed; the text says which, why and what to do.
        """
        begun = time.monotonic()
        print(f'Making {self.venv}. A first time takes 10 to 25 minutes; details go to {self.log}.',
              flush=True)
        self.stamp.unlink(missing_ok=True)
        self.make_venv()
        self.check_machine()
        todo = steps(mmcv=requirement(self.root, 'onedl-mmcv'), env=self.compile_env())
        for number, step in enumerate(todo, start=2):
            print(f'[{number}/{len(todo) + 1}] {step.title}'
                  + (f' ({step.takes})' if step.takes else ''), flush=True)
            self.do(step)
        self.warm_up()
        self.stamp.write_text(json.dumps(self.state(), indent=1))
        print(f'The environment is ready after {duration(time.monotonic() - begun)}.', flush=True)

    def make_venv(self) -> None:
        """Make the virtual environment where there is none that runs."""
        total = len(steps(mmcv='', env=())) + 1
        print(f'[1/{total}] virtual environment', flush=True)
        version = self.version()
        if version is None:
            python = choose(candidates())
            self.empty()
            self.command([python.path, '-m', 'venv', str(self.venv)], title='virtual environment')
        elif version not in SUPPORTED:
            raise SetupError(
                f'{self.venv} was made with Python {version[0]}.{version[1]}, which is not '
                f'supported. Remove it (rm -r {self.venv}) and run the command again.')

    def empty(self) -> None:
        """Remove what a broken or interrupted run left, except the log."""
        for path in self.venv.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != self.log:
                path.unlink()

    def version(self) -> tuple[int, ...] | None:
        """Python version of the environment, None where it is missing or does not run."""
        code = 'import pip, sys; print(*sys.version_info[:2])'
        try:
            done = subprocess.run([self.python, '-c', code], capture_output=True, text=True,
                                  env=clean_environment(), timeout=60)
            return tuple(int(part) for part in done.stdout.split()) or None
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None

    def check_machine(self) -> None:
        """Look for disk space and a compiler before anything big starts."""
        if not list(self.venv.glob('lib/python*/site-packages/torch/version.py')):
            free = shutil.disk_usage(self.root).free
            if free < DISK_NEEDED:
                raise SetupError(
                    f'{free / 1e9:.1f} GB are free under {self.root}, about '
                    f'{DISK_NEEDED / 1e9:.0f} GB are needed. Free some space and run it again.')
        compiled = list(self.venv.glob('lib/python*/site-packages/mmcv/_ext*.so'))
        if not compiled and not (os.environ.get('CXX') or shutil.which('g++')
                                 or shutil.which('c++')):
            raise SetupError(
                'there is no C++ compiler, and mmcv has to be compiled. '
                'Debian: apt-get install build-essential. Elsewhere: set CXX to one.')

    def compile_env(self) -> tuple[tuple[str, str], ...]:
        """Environment variables for compiling mmcv; the GPU is hidden where nvcc is missing."""
        env = {'MMCV_WITH_OPS': '1', 'MAX_JOBS': os.environ.get('MAX_JOBS', str(jobs()))}
        if not (os.environ.get('CUDA_HOME') or shutil.which('nvcc')):
            env['CUDA_VISIBLE_DEVICES'] = ''
        return tuple(env.items())

    def do(self, step: Step) -> None:
        """Install, check, and repair once where the check fails."""
        if step.install:
            self.pip(step, step.install)
        problem = self.diagnosis(step)
        if problem and step.repair:
            print(f'    {problem}\n    -> installing it afresh', flush=True)
            self.pip(step, step.repair)
            problem = self.diagnosis(step)
        if problem:
            raise SetupError(self.failure(step.title, problem, None))

    def pip(self, step: Step, arguments: Sequence[str]) -> None:
        """``pip install`` in the environment."""
        options = ('--no-input', '--disable-pip-version-check', '--progress-bar', 'off')
        # torch compiles extensions in parallel only where it finds ninja by PATH.
        path = os.pathsep.join([str(self.venv / 'bin'), os.environ.get('PATH', os.defpath)])
        self.command([self.python, '-m', 'pip', 'install', *options, *arguments],
                     title=step.title, env={**dict(step.env), 'PATH': path})

    def diagnosis(self, step: Step) -> str:
        """What the doctor says about the step's checks; empty where all is well."""
        if not step.checks:
            return ''
        doctor = str(self.root / 'tools' / 'misc' / 'doctor.py')
        try:
            run([self.python, doctor, '--only', *step.checks], log=self.log, title='check')
        except CommandFailed as error:
            return error.output.strip()
        return ''

    def warm_up(self) -> None:
        """Compile unimask's own CPU kernels now instead of at the first training step."""
        code = 'from unimask.ops.cpu import native; raise SystemExit(native.load() is None)'
        try:
            run([self.python, '-c', code], log=self.log, title='compiling CPU kernels')
        except CommandFailed:
            print('    note: the CPU kernels of unimask could not be compiled; training on the CPU '
                  f'works, but slower (see {self.log})', flush=True)

    def command(self, command: Sequence[str], *, title: str,
                env: dict[str, str] | None = None) -> None:
        """Run a command of the step ``title``; a failure says why and what to do."""
        try:
            run(command, log=self.log, title=title, extra_env=env)
        except CommandFailed as error:
            text = f'{error}\n{indent(error.tail)}'
            raise SetupError(self.failure(title, text, diagnose(error.output))) from error

    def failure(self, title: str, what: str, advice: str | None) -> str:
        """The message for a failed step."""
        advice = advice or (f'unknown to this script. The whole output is in {self.log}; '
                            'after mending it run the same command again, it goes on from there')
        return f'step "{title}" failed.\n{indent(what)}\n  Why, and what to do: {advice}.'


def requirement(root: Path, name: str) -> str:
    """The line of ``requirements/mminstall.txt`` about one distribution."""
    lines = (root / 'requirements' / 'mminstall.txt').read_text().splitlines()
    return next(line for line in lines if re.split(r'[<>=!~ ]', line)[0] == name)


def jobs() -> int:
    """Compiler processes that cores and memory allow."""
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return max(1, min(os.cpu_count() or 1, int(memory / MEMORY_PER_JOB)))


def indent(text: str) -> str:
    """Text two columns to the right."""
    return '\n'.join(f'  {line}' for line in text.splitlines())


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--recheck', action='store_true',
                        help='look at every step again although the stamp fits')
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the child as Ctrl-C does
    setup = Setup(ROOT)
    setup.venv.mkdir(exist_ok=True)
    with (ROOT / '.venv.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if options.recheck or not setup.ready():
                setup.make()
        except SetupError as error:
            print(f'\nSet-up stopped: {error}', file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print('\nSet-up interrupted. Run the command again: it goes on from here.',
                  file=sys.stderr)
            return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
