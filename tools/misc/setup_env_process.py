"""Running the commands of the set-up: log file, heartbeat, and reading a failure."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL_LINES = 15

# What a log says -> why it failed and what to do. The first match counts.
DIAGNOSES = (
    (r'No space left on device|Errno 28',
     'the disk is full. Free some space (about 12 GB are needed in all) and run the command again'),
    (r'No matching distribution found|Could not find a version that satisfies',
     'pip found no fitting package. Either the package index cannot be reached (see the '
     'connection lines in the log, `pip config list` and your proxy), or this Python version or '
     'platform is not served'),
    (r'Temporary failure in name resolution|NewConnectionError|ConnectTimeout|Network is unreach'
     r'|Connection refused|ReadTimeout|ProxyError|Max retries exceeded',
     'the package index cannot be reached. Check the network and proxy (HTTPS_PROXY, '
     '`pip config list`) and run the command again: what is installed already is kept'),
    (r'CERTIFICATE_VERIFY_FAILED|SSLError',
     'the package index was reached, but its certificate is not trusted. Point PIP_CERT at the '
     'certificates of your proxy'),
    (r'Python\.h: No such file',
     'the headers of Python are missing. On Debian: apt-get install python3-dev'),
    (r"error: command '[^']*(g\+\+|gcc|cc|c\+\+)[^']*' failed: No such file|unable to execute"
     r'|No such file or directory: .(g\+\+|c\+\+)',
     'there is no C++ compiler. On Debian: apt-get install build-essential'),
    (r'You need C\+\+20|C\+\+20 or later|requires C\+\+20',
     'this torch needs C++20 while mmcv compiles with C++17. Use torch below 2.13: '
     'run `make repair`'),
    (r'CUDA_HOME environment variable is not set|detected CUDA version .* mismatches',
     'the CUDA toolkit does not fit torch. Install the toolkit of the version that '
     '`python -c "import torch; print(torch.version.cuda)"` prints, or hide the GPU for the build: '
     'CUDA_VISIBLE_DEVICES= make repair'),
    (r'Killed signal|Killed\b|out of memory|cannot allocate memory',
     'the machine ran out of memory. Compile fewer files at once: MAX_JOBS=1 make env'),
    (r"No module named 'pkg_resources'",
     'setuptools is too new. Run `make repair`'),
    (r'ensurepip is not available|No module named ensurepip',
     'the module ensurepip is missing. On Debian: apt-get install python3-venv'),
    (r'Permission denied',
     'a file may not be written. Check who owns the checkout and its .venv'),
)


@dataclass(eq=False)
class CommandFailed(Exception):
    """A command ended with an exit status other than 0; ``output`` is what it printed."""

    command: Sequence[str]
    status: int
    output: str

    def __str__(self) -> str:
        return f'`{shlex.join(self.command)}` ended with status {self.status}'

    @property
    def tail(self) -> str:
        """Last lines of the output."""
        return '\n'.join(self.output.rstrip().splitlines()[-TAIL_LINES:])


def diagnose(output: str) -> str | None:
    """Why a command with this output failed and what to do, or None where that is unknown."""
    for pattern, advice in DIAGNOSES:
        if re.search(pattern, output):
            return advice
    return None


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what would lead Python or pip out of ``.venv``, plus ``extra``.

    Python may write bytecode: pip is told not to, so that the checks of the set-up do it by
    importing. Without bytecode every process would compile the libraries again, for 15 seconds.
    """
    unwanted = ('PYTHONHOME', 'PYTHONPATH', 'PYTHONDONTWRITEBYTECODE', 'PIP_TARGET', 'PIP_PREFIX',
                'PIP_USER', '__PYVENV_LAUNCHER__')
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, 'PYTHONUNBUFFERED': '1', **(extra or {})}


class Job:
    """A command that runs, its output appended to a log.

    Only one at a time may write to a log: the output is found by where it begins.
    """

    def __init__(self, command: Sequence[str], *, log: Path, title: str,
                 extra_env: Mapping[str, str] | None = None) -> None:
        self.command = tuple(command)
        self.log = log
        self.title = title
        self.begun = time.monotonic()
        with log.open('a+b') as sink:
            sink.write(f'\n$ {shlex.join(command)}\n'.encode())
            sink.flush()
            self.start = sink.seek(0, os.SEEK_END)
            self.process = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
                env=clean_environment(extra_env), start_new_session=True)

    def finish(self, *, beat: float = 30.0) -> str:
        """Wait for the end, telling every ``beat`` seconds that the command lives.

        Returns:
            What the command printed.

        Raises:
            CommandFailed: the exit status is not 0.
        """
        try:
            status = self._wait(beat)
        except BaseException:
            self.stop()
            raise
        output = self.output()
        if status:
            raise CommandFailed(self.command, status, output)
        return output

    def stop(self) -> None:
        """End the command and its children."""
        stop(self.process)

    def output(self) -> str:
        """What the command has printed so far."""
        with self.log.open('rb') as source:
            source.seek(self.start)
            return source.read().decode(errors='replace')

    def _wait(self, beat: float) -> int:
        while True:
            try:
                return self.process.wait(timeout=beat)
            except subprocess.TimeoutExpired:
                passed = duration(time.monotonic() - self.begun)
                print(f'    ... {self.title}: {passed}{progress(self.output())}', flush=True)


def run(command: Sequence[str], *, log: Path, title: str,
        extra_env: Mapping[str, str] | None = None, beat: float = 30.0) -> str:
    """Run a command to its end: :class:`Job`."""
    return Job(command, log=log, title=title, extra_env=extra_env).finish(beat=beat)


def stop(process: subprocess.Popen) -> None:
    """End a process and its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=5)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def progress(output: str) -> str:
    """The counter ``[n/m]`` that ninja printed last, as ``, n of m files``; else nothing."""
    counters = re.findall(r'^ *\[(\d+)/(\d+)\]', output, flags=re.MULTILINE)
    return ', {} of {} files'.format(*counters[-1]) if counters else ''


def duration(seconds: float) -> str:
    """Seconds as people say them: ``42 s``, ``3 min 05 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'
