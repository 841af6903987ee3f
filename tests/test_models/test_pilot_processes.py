"""Mask piloting with two processes, one of which has no ground truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Every parameter takes part in every step, or DistributedDataParallel would wait for ever.
PROGRAM = """
import json, os, sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from unimask.models.heads import MaskPilotedHead
from unimask.registry import MODELS
from unimask.structures import PixelFeatures, SegmentTargets, TargetBatch

rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
torch.manual_seed(0)
head = MaskPilotedHead(num_classes=3, memory_channels=(8, 8, 8), mask_channels=8, channels=8,
                       num_queries=4, num_layers=2, num_heads=2, ffn_channels=8)
criterion = MODELS.build(dict(
    type='SetCriterion', sampler=None, mask_losses=[dict(type='MaskBCELoss')],
    matcher=dict(type='HungarianMatcher', num_points=None, costs=[dict(type='ClassCost')])))
model = DistributedDataParallel(head)
masks = torch.zeros(2 * (1 - rank), 32, 32, dtype=torch.bool)
masks[:, 4:20, 8:30] = True
targets = TargetBatch.stack([SegmentTargets.from_masks(masks, [0, 2][:len(masks)])])
names = []
for step in range(2):
    pixels = PixelFeatures(torch.randn(1, 8, 8, 8), tuple(
        torch.randn(1, 8, side, side) for side in (1, 2, 4)))
    losses = criterion(model(pixels, targets), targets)
    sum(losses.values()).backward()
    names.append(sorted(losses))
gradient = head.pilot.label_enc.weight.grad
print(json.dumps(dict(names=names, gradient=gradient.tolist())), flush=True)
dist.barrier()
os._exit(0)
"""


@pytest.mark.slow
def test_one_process_without_ground_truth(tmp_path: Path) -> None:
    processes = [subprocess.Popen(
        [sys.executable, '-c', PROGRAM, str(rank), str(tmp_path / 'store')], cwd=ROOT, text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE) for rank in (0, 1)]
    try:
        ended = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, error) in zip(processes, ended, strict=True):
        assert process.returncode == 0, error[-3000:]
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in ended)
    assert first['names'] == second['names'] and len(first['names'][0]) == 3 * 2 * 2
    assert first['gradient'] == second['gradient']
    assert any(any(row) for row in first['gradient'])
