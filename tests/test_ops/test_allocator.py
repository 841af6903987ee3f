"""The C library's settings for training on a CPU."""

import subprocess
import sys

import pytest

# Pages that the system hands out while 64 MiB are taken and freed again and again.
SCRIPT = """
import resource
import sys

import numpy

from unimask.ops.cpu.memory import keep_freed_memory

done = keep_freed_memory() if sys.argv[1] == 'keep' else None
for _ in range(3):
    numpy.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    numpy.ones(2**23)
print(done, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(argument: str, **environment: str) -> tuple[str, int]:
    done = subprocess.run([sys.executable, '-c', SCRIPT, argument], check=True, text=True,
                          env={'PATH': '', **environment}, stdout=subprocess.PIPE)
    answer, faults = done.stdout.split()
    return answer, int(faults)


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='a setting of the GNU C library')
def test_freed_memory_is_kept() -> None:
    answer, kept = run('keep')
    if answer == 'False':
        pytest.skip('not the GNU C library')
    assert kept < run('return')[1] / 4


def test_settings_of_the_user_stay() -> None:
    answer, _ = run('keep', MALLOC_TRIM_THRESHOLD_='131072')
    assert answer == 'False'
