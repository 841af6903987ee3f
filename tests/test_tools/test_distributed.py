"""The scripts for several processes, here without a GPU."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_tools.conftest import CONFIG, ROOT, command


def script(name: str, *words: object, **options: object) -> str:
    """Output of a script with two processes, which must succeed."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    folder = Path(sys.executable).parent
    line = command(name, *words, **options)
    done = subprocess.run(
        ['bash', *line], text=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, 'PATH': f'{folder}:{os.environ["PATH"]}', 'PYTHONPATH': str(ROOT),
             'OMP_NUM_THREADS': '1', 'MASTER_PORT': str(port)})
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.mark.slow
def test_two_processes_train_and_test(shapes: Path, tmp_path: Path, tool) -> None:
    out = script('dist_train.sh', CONFIG, 2, '--work-dir', tmp_path / 'run',
                 data_root=shapes, max_iters=2)
    assert '2 process(es)' in out and 'panoptic/PQ' in out
    scores = []
    for call, words in ((script, ('dist_test.sh', CONFIG, tmp_path / 'run', 2)),
                        (tool, ('test.py', CONFIG, tmp_path / 'run'))):
        file = tmp_path / f'{len(scores)}.json'
        call(*words, '--work-dir', tmp_path / 'test', '--out', file, data_root=shapes)
        scores.append(json.loads(file.read_text()))
    assert scores[0] == scores[1] and scores[0]


def test_launcher_without_torchrun(shapes: Path, tmp_path: Path, tool) -> None:
    done = tool('train.py', CONFIG, '--launcher', 'pytorch', '--work-dir', tmp_path,
                data_root=shapes)
    assert done.status and 'tools/dist_train.sh' in done.err
