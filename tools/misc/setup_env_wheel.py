"""The wheel of mmcv, compiled in the background while the set-up goes on with other libraries."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from setup_env_process import CommandFailed, Job

BUILDER = Path(__file__).with_name('setup_env_mmcv.py')
MEMORY_PER_JOB = 2e9


class Wheel:
    """A build of mmcv by :mod:`setup_env_mmcv`, in a folder of its own beside its log.

    Args:
        venv: The virtual environment; the folder and the log lie in it.
        requirement: mmcv with its range of versions.
        env: Environment variables of the build.
    """

    title = 'mmcv with compiled ops'

    def __init__(self, venv: Path, *, requirement: str, env: Mapping[str, str]) -> None:
        self.folder = venv / 'mmcv-build'
        self.log = venv / 'mmcv.log'
        self.command = [str(venv / 'bin' / 'python'), str(BUILDER), requirement,
                        '--into', str(self.folder)]
        self.env = {**env, 'TMPDIR': str(self.folder)}
        self.job: Job | None = None

    def start(self, *options: str) -> None:
        """Begin a build in an empty folder and return at once."""
        self.discard()
        self.folder.mkdir()
        self.job = Job([*self.command, *options], log=self.log, title=self.title,
                       extra_env=self.env)

    def finish(self) -> Path:
        """Wait for the build; prints its notes.

        Returns:
            The wheel.

        Raises:
            CommandFailed: it could not be built.
        """
        output = self.job.finish()
        for text in re.findall(r'^note: .*', output, re.MULTILINE):
            print(f'    {text}', flush=True)
        wheels = list(self.folder.glob('*.whl'))
        if len(wheels) != 1:
            raise CommandFailed(self.job.command, 0, f'{output}\n{len(wheels)} wheels were made')
        return wheels[0]

    def discard(self) -> None:
        """Stop a build that still runs and remove all that it made, except the log."""
        if self.job is not None and self.job.process.poll() is None:
            self.job.stop()
        self.job = None
        shutil.rmtree(self.folder, ignore_errors=True)


def build_environment(venv: Path) -> dict[str, str]:
    """Environment variables for compiling mmcv; the GPU is hidden where nvcc is missing."""
    # torch compiles extensions in parallel only where it finds ninja by PATH.
    path = os.pathsep.join([str(venv / 'bin'), os.environ.get('PATH', os.defpath)])
    env = {'MMCV_WITH_OPS': '1', 'MAX_JOBS': os.environ.get('MAX_JOBS', str(jobs())), 'PATH': path}
    if not (os.environ.get('CUDA_HOME') or shutil.which('nvcc')):
        env['CUDA_VISIBLE_DEVICES'] = ''
    return env


def jobs() -> int:
    """Compiler processes that cores and memory allow."""
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return max(1, min(os.cpu_count() or 1, int(memory / MEMORY_PER_JOB)))
