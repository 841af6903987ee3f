"""Make ``.venv`` with everything unimask needs.

The command is ``make env``; the script needs the standard library alone. A second run finds the
stamp of the first and ends at once; where requirements or installed packages changed since, every
step is looked at again and only what is missing or broken is mended. mmcv is compiled while other
libraries are installed, unimask's own kernels while unimask is installed and checked. Everything
that the steps print goes to ``.venv/setup.log``, what the compilations print to ``.venv/mmcv.log``
and ``.venv/kernels.log``.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from setup_env_process import CommandFailed, Job, clean_environment, diagnose, duration, run
from setup_env_python import SUPPORTED, SetupError, candidates, choose
from setup_env_wheel import Wheel, build_environment

ROOT = Path(__file__).resolve().parents[2]
DISK_NEEDED = 12e9
MMCV = 'onedl-mmcv'
AFRESH = ('--force-reinstall', '--no-deps')
TORCH_FILES = ('requirements/torch.txt', 'requirements/build.txt')
PINS = ('--no-build-isolation', *(word for name in TORCH_FILES for word in ('-c', name)))
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
    """

    title: str
    install: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    repair: tuple[str, ...] = ()
    takes: str = ''


@dataclass(frozen=True)
class Steps:
    """The steps after the virtual environment itself, in order."""

    torch: Step
    libraries: Step
    opencv: Step
    mmcv: Step
    unimask: Step


def steps(*, siblings: Sequence[str]) -> Steps:
    """What is installed and checked; without the wheel of mmcv, which is built first.

    Args:
        siblings: Requirements of the other OpenMMLab libraries; none of them demands mmcv.
    """
    torch = tuple(word for name in TORCH_FILES for word in ('-r', name))
    others = tuple(word for name in ('runtime', 'tests', 'docs')
                   for word in ('-r', f'requirements/{name}.txt'))
    return Steps(
        torch=Step('torch, torchvision and build tools', torch,
                   ('torchvision', 'setuptools', 'numpy'), (*AFRESH, *torch),
                   takes='downloads about 3 GB the first time'),
        libraries=Step('other libraries', (*PINS, *others, *siblings)),
        opencv=Step('OpenCV', (), ('opencv',), (*AFRESH, 'opencv-python-headless<4.13')),
        mmcv=Step(Wheel.title, AFRESH, ('mmcv-cpu',)),
        unimask=Step('unimask itself', (*PINS, '-e', '.[mm]'),
                     ('distributions', 'libraries', 'unimask')))


class Setup:
    """Runs the steps for one checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / '.venv'
        self.python = str(self.venv / 'bin' / 'python')
        self.log = self.venv / 'setup.log'
        self.stamp = self.venv / 'setup.json'
        self.begun = 0

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
        print(f'Making {self.venv}. The first time takes minutes, 5 on two quiet cores, 13 on '
              f'busy ones; details go to {self.log}.', flush=True)
        self.stamp.unlink(missing_ok=True)
        self.make_venv()
        self.check_machine()
        mmcv = requirement(self.root, MMCV)
        todo = steps(siblings=[line for line in openmmlab(self.root) if line != mmcv])
        self.do(todo.torch)
        with self.compiling(todo.mmcv) as wheel:
            self.do(todo.libraries)
            self.do(todo.opencv)
            self.do_mmcv(todo.mmcv, wheel)
        with self.warming_up():
            self.do(todo.unimask)
        self.stamp.write_text(json.dumps(self.state(), indent=1))
        print(f'The environment is ready after {duration(time.monotonic() - begun)}.', flush=True)

    def announce(self, title: str, takes: str = '') -> None:
        """Tell that the next step begins."""
        self.begun += 1
        print(f'[{self.begun}/{len(fields(Steps)) + 1}] {title}' + (f' ({takes})' if takes else ''),
              flush=True)

    def make_venv(self) -> None:
        """Make the virtual environment where there is none that runs."""
        self.announce('virtual environment')
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

    def do(self, step: Step) -> None:
        """Install, check, and repair once where the check fails."""
        self.announce(step.title, step.takes)
        if step.install:
            self.pip(step, step.install)
        problem = self.diagnosis(step)
        if problem and step.repair:
            self.say_afresh(problem)
            self.pip(step, step.repair)
            problem = self.diagnosis(step)
        if problem:
            raise SetupError(self.failure(step.title, problem, None))

    def say_afresh(self, problem: str) -> None:
        """Tell why something is installed again."""
        print(f'{indent(problem, 4)}\n    -> installing it afresh', flush=True)

    @contextmanager
    def compiling(self, step: Step) -> Iterator[Wheel]:
        """Compile mmcv in the background, unless it is there and runs; stops it when left."""
        wheel = Wheel(self.venv, requirement=requirement(self.root, MMCV),
                      env=build_environment(self.venv))
        try:
            if self.lacks_mmcv(step):
                print('mmcv is compiled in the background while the next steps run', flush=True)
                wheel.start()
            yield wheel
        finally:
            wheel.discard()

    def lacks_mmcv(self, step: Step) -> bool:
        """Whether mmcv is missing, of another version, or does not run."""
        try:
            run([self.python, '-m', 'pip', 'install', '--dry-run', '--no-index', '--no-deps',
                 requirement(self.root, MMCV)], log=self.log, title=step.title)
        except CommandFailed:
            return True
        return bool(self.diagnosis(step))

    def do_mmcv(self, step: Step, wheel: Wheel) -> None:
        """Install the wheel that was compiled meanwhile; compile again where it does not run.

        pip keeps a compiled mmcv by its version alone, so that the first wheel may be one that was
        compiled against another torch.
        """
        self.announce(step.title)
        if wheel.job is None:
            return
        self.pip(step, (*step.install, str(self.built(wheel))))
        problem = self.diagnosis(step)
        if problem:
            self.say_afresh(problem)
            wheel.start('--fresh')
            self.pip(step, (*step.install, str(self.built(wheel))))
            problem = self.diagnosis(step)
        if problem:
            raise SetupError(self.failure(step.title, problem, None))

    def built(self, wheel: Wheel) -> Path:
        """The wheel when it is ready.

        A build that failed for no known cause is repeated alone and in the plain way.

        Raises:
            SetupError: it cannot be built.
        """
        try:
            return wheel.finish()
        except CommandFailed as error:
            if diagnose(error.output):
                raise self.stopped(error, title=wheel.title, log=wheel.log) from error
            print(f'    compiling failed (see {wheel.log})\n    -> once more, in the plain way',
                  flush=True)
        wheel.start('--fresh', '--plain')
        try:
            return wheel.finish()
        except CommandFailed as error:
            raise self.stopped(error, title=wheel.title, log=wheel.log) from error

    def pip(self, step: Step, arguments: Sequence[str]) -> None:
        """``pip install`` in the environment."""
        # Python compiles modules when they are imported first; most of them never are.
        options = ('--no-input', '--disable-pip-version-check', '--progress-bar', 'off',
                   '--no-compile')
        self.command([self.python, '-m', 'pip', 'install', *options, *arguments], title=step.title,
                     env=build_environment(self.venv))

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

    @contextmanager
    def warming_up(self) -> Iterator[None]:
        """Compile unimask's own CPU kernels meanwhile instead of at the first training step."""
        code = 'from unimask.ops.cpu import native; raise SystemExit(native.load() is None)'
        log = self.venv / 'kernels.log'
        job = Job([self.python, '-c', code], log=log, title='CPU kernels of unimask',
                  extra_env={'PYTHONPATH': str(self.root)})
        try:
            yield
        except BaseException:
            job.stop()
            raise
        try:
            job.finish()
        except CommandFailed:
            print('    note: the CPU kernels of unimask could not be compiled; training on the CPU '
                  f'works, but slower (see {log})', flush=True)

    def command(self, command: Sequence[str], *, title: str,
                env: dict[str, str] | None = None) -> None:
        """Run a command of the step ``title``; a failure says why and what to do."""
        try:
            run(command, log=self.log, title=title, extra_env=env)
        except CommandFailed as error:
            raise self.stopped(error, title=title, log=self.log) from error

    def stopped(self, error: CommandFailed, *, title: str, log: Path) -> SetupError:
        """The error about a failed command of the step ``title``."""
        text = f'{error}\n{indent(error.tail)}'
        return SetupError(self.failure(title, text, diagnose(error.output), log=log))

    def failure(self, title: str, what: str, advice: str | None, *, log: Path | None = None) -> str:
        """The message for a failed step."""
        advice = advice or (f'unknown to this script. The whole output is in {log or self.log}; '
                            'after mending it run the same command again, it goes on from there')
        return f'step "{title}" failed.\n{indent(what)}\n  Why, and what to do: {advice}.'


def requirement(root: Path, name: str) -> str:
    """The line of ``requirements/mminstall.txt`` about one distribution."""
    return next(line for line in openmmlab(root) if re.split(r'[<>=!~ ]', line)[0] == name)


def openmmlab(root: Path) -> list[str]:
    """The lines of ``requirements/mminstall.txt`` without comments."""
    lines = (root / 'requirements' / 'mminstall.txt').read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def indent(text: str, columns: int = 2) -> str:
    """Text some columns to the right."""
    return '\n'.join(' ' * columns + line for line in text.splitlines())


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
