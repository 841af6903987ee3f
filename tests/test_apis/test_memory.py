"""A large picture needs little more memory than its maps."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_tools.conftest import CONFIG, SMALL

ROOT = Path(__file__).parents[2]
# The picture has 3 megapixels and a hundred instances: as bool masks they are 300 MB, as the
# integers that a careless sum makes of them 2.4 GB. What is measured is 260 to 365 MB, most of it
# for bands of a fixed size. `ru_maxrss` would not do: a child process starts with its parent's.
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from unimask.apis import Inferencer
from unimask.preflight import load_config
from unimask.utils import register_all_modules
register_all_modules()
cfg = load_config(sys.argv[1], {options})
cfg.test_dataloader.dataset.pipeline[1] = dict(type='mmdet.Resize', scale=(200, 150))
cfg.model.taxonomy = dict(classes=['thing'])  # so that every query is an instance
inferencer = Inferencer(cfg, device='cpu')
def status(key):
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))
now = status('VmRSS:')
picture = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8)
report = inferencer.save([picture], sys.argv[2], min_score=0, progress=False)
assert report.done == 1
print(status('VmHWM:') - now)
"""


@pytest.mark.slow
def test_a_large_picture_needs_little_memory(tmp_path: Path):
    options = {**SMALL, 'model.head.num_queries': 100}
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM.format(options=options), CONFIG, tmp_path / 'out'],
        capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    record, = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert len(record['instances']) == 100
    assert float(done.stdout.split()[-1]) < 600, done.stdout
