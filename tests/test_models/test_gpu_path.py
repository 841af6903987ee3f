"""The training path on a GPU, without one: tensors that have a device and no values.

torch's ``FakeTensorMode`` refuses operators whose tensors lie on different devices and whatever
asks a tensor for its values (``item``, ``nonzero``, boolean indices). What is left are copies
between host and device, and those are counted here: a training step waits once, in the matcher.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from test_models.test_sweep import CASES, REGISTERED, run_mask_loss
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from unimask.models.layers import position
from unimask.models.losses import matcher as matcher_module
from unimask.models.segmentors import universal
from unimask.ops import deformable
from unimask.registry import MODELS, TASK_UTILS
from unimask.structures import DensePrediction, MaskPrediction, Matches, Piloted, TargetBatch

CACHES = (position.sine_position, deformable._grid, deformable._mmcv_runs_on,
          deformable._level_tensors)
CRITERIA = {
    'SetCriterion': [dict(CASES['SetCriterion'].config),
                     dict(CASES['SetCriterion'].config, sampler=None)],
    'PixelCriterion': [dict(), dict(average='all', hardest=100)],
}


class Waits(TorchDispatchMode):
    """Notes copies between devices for which the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: object, types: object, args: tuple = (),
                           kwargs: dict | None = None) -> object:
        out = func(*args, **(kwargs or {}))
        sources = [each for each in args if isinstance(each, Tensor)]
        if str(func).startswith(('aten._to_copy', 'aten.copy_')) and isinstance(out, Tensor):
            blocking = not (kwargs or {}).get('non_blocking') and not (len(args) > 2 and args[2])
            if blocking and {each.device.type for each in [*sources, out]} == {'cpu', 'cuda'}:
                self.found.append(str(func))
        return out


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """New tensors are on a GPU that does not exist; results kept by size are not mixed up."""
    monkeypatch.setattr(nn.Module, 'to', lambda module, *args, **kwargs: module)
    for module in ('deformable', 'deformable_conv'):  # ops.deformable_conv is a function too
        monkeypatch.setattr(sys.modules[f'unimask.ops.{module}'], '_mmcv_runs_on',
                            lambda device: False)
    with kept_apart(), FakeTensorMode(), torch.device('cuda'):
        yield


@contextmanager
def kept_apart() -> Iterator[None]:
    for cache in CACHES:
        cache.cache_clear()
    try:
        yield
    finally:
        for cache in CACHES:
            cache.cache_clear()


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of what the matcher fetches; made-up costs arrive."""
    fetched: list[int] = []

    def to_host(values: Tensor) -> np.ndarray:
        assert values.device.type == 'cuda'
        fetched.append(values.numel())
        return np.random.default_rng(0).random(values.numel(), dtype=np.float32)

    monkeypatch.setattr(matcher_module, 'to_host', to_host)
    return fetched


def batch(size: tuple[int, int], overlap: bool = False) -> TargetBatch:
    """Two segments in the first image, one in the second."""
    maps = None if overlap else torch.zeros(2, *size, dtype=torch.int16)
    masks = torch.zeros(3, *size, dtype=torch.bool) if overlap else None
    return TargetBatch(
        labels=torch.zeros(3, dtype=torch.int64), image_index=torch.zeros(3, dtype=torch.int64),
        within_image=torch.zeros(3, dtype=torch.int64), counts=(2, 1), index_maps=maps,
        masks=masks)


def test_the_tools_of_this_module_notice() -> None:
    x = torch.randn(3)
    with Waits() as waits:
        x.cpu()
        x.to('cpu', non_blocking=True)
        x + 1
        torch.zeros(3, device='cpu').to('cuda', non_blocking=True)
        assert len(waits.found) == 1
        x.copy_(torch.zeros(3, device='cpu'))
    assert len(waits.found) == 2
    with pytest.raises(DataDependentOutputException):
        float(x.sum())
    with pytest.raises(RuntimeError, match='device'):
        x + torch.zeros(3, device='cpu')


@pytest.mark.parametrize('name', sorted(
    name for name in REGISTERED
    if any(part in MODELS.get(name).__module__ for part in ('.necks.', '.heads.', '.piloting.'))))
def test_necks_and_heads(name: str) -> None:
    case = CASES[name]
    module = MODELS.build(dict(type=name, **case.config))
    case.run(module)  # what is kept by size is made at the first call
    with Waits() as waits:
        assert case.run(module).device.type == 'cuda'
    assert waits.found == []


LOSSES = sorted(name for name in REGISTERED if '.losses.' in MODELS.get(name).__module__)


@pytest.mark.parametrize('name', [name for name in LOSSES if name not in CRITERIA])
def test_mask_losses(name: str) -> None:
    loss = MODELS.build(dict(type=name))
    with Waits() as waits:
        total = loss(torch.randn(2, 3, 10), torch.zeros(2, 3, 10)).sum()
    assert total.device.type == 'cuda' and waits.found == []
    assert CASES[name].run is run_mask_loss


@pytest.mark.parametrize('noise', ['PointNoise', 'ShiftNoise', 'ScaleNoise', 'PatchNoise'])
def test_noises(noise: str) -> None:
    made = TASK_UTILS.build(dict(type=noise))
    with Waits() as waits:
        assert made(torch.zeros(3, 2, 8, 12, dtype=torch.bool)).device.type == 'cuda'
    assert waits.found == []


@pytest.mark.parametrize('overlap', [False, True])
@pytest.mark.parametrize('options', CRITERIA['SetCriterion'])
def test_set_criterion_waits_once(options: dict, overlap: bool, copies: list[int]) -> None:
    criterion = MODELS.build(dict(type='SetCriterion', **options))
    ours = MaskPrediction(torch.randn(2, 2, 5, 4), torch.randn(2, 2, 5, 6),
                          torch.randn(2, 6, 8, 8))
    pairs = torch.zeros(2, 3, dtype=torch.int64)
    known = Matches(pairs, pairs, pairs[0], (2, 1), counted=torch.ones(2, 5, dtype=torch.bool))
    with Waits() as waits:
        losses = criterion(replace(ours, piloted=Piloted(ours, known)),
                           batch((32, 32), overlap))
    assert {value.device.type for value in losses.values()} == {'cuda'}
    assert copies == [2 * 5 * 3] and waits.found == []


@pytest.mark.parametrize('options', CRITERIA['PixelCriterion'])
def test_pixel_criterion_never_waits(options: dict) -> None:
    criterion = MODELS.build(dict(type='PixelCriterion', **options))
    with Waits() as waits:
        losses = criterion(DensePrediction(torch.randn(1, 2, 3, 8, 8)), batch((32, 32)))
    assert losses['loss_sem'].device.type == 'cuda' and waits.found == []


@pytest.mark.parametrize('overlap', [False, True])
def test_targets_are_looked_at_without_waiting(overlap: bool) -> None:
    targets = batch((32, 48), overlap)
    with Waits() as waits:
        shapes = [targets.touches((8, 12)).shape, targets.touches((5, 7)).shape,
                  targets.resize_nearest((8, 12)).shape,
                  targets.sample_shared(torch.rand(2, 9, 2)).shape]
    assert shapes == [(3, 8, 12), (3, 5, 7), (3, 8, 12), (3, 9)] and waits.found == []


@pytest.mark.parametrize('config, waits_allowed', [
    ('mask2former/r50_8xb2_ade20k-panoptic.py', 1),
    ('maskformer/r50_8xb2_ade20k.py', 1),
    ('maskformer/r50_64xb1_coco-panoptic.py', 1),
    ('mp_former/r50_8xb2_coco-instance.py', 1),
])
def test_a_whole_step(config: str, waits_allowed: int, repo: Path, copies: list[int],
                      monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = Config.fromfile(str(repo / 'configs' / config))
    if 'pilot' in cfg.model.head:
        cfg.model.head.pilot.label_noise = 0.0  # it is drawn on the host and asked for there
    model = MODELS.build(dict(cfg.model, init_cfg=None)).train()
    monkeypatch.setattr(universal, 'make_target_batch',
                        lambda samples, *, size, taxonomy, device: batch(size))
    inputs = torch.rand(2, 3, 128, 192)
    model(inputs, [], mode='loss')
    copies.clear()
    with Waits() as waits:
        losses = model(inputs, [], mode='loss')
    assert {value.device.type for value in losses.values()} == {'cuda'}
    assert len(copies) == waits_allowed and waits.found == []
