"""The optimiser's step, its groups and the schedules, as their formulas say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from door import build, to_numpy
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import Tensor, nn

from unimask.registry import PARAM_SCHEDULERS

LR, DECAY, BETAS, EPS = 0.02, 0.3, (0.9, 0.999), 1e-8


def adamw(weight: np.ndarray, gradients: list[np.ndarray], *, lr: float,
          decay: float) -> np.ndarray:
    """Loshchilov and Hutter: decay apart from the moments, both moments unbiased."""
    weight, first, second = weight.copy(), np.zeros_like(weight), np.zeros_like(weight)
    for step, gradient in enumerate(gradients, 1):
        weight -= lr * decay * weight
        first = BETAS[0] * first + (1 - BETAS[0]) * gradient
        second = BETAS[1] * second + (1 - BETAS[1]) * gradient ** 2
        unbiased = first / (1 - BETAS[0] ** step), second / (1 - BETAS[1] ** step)
        weight -= lr * unbiased[0] / (np.sqrt(unbiased[1]) + EPS)
    return weight


class Whole(nn.Module):
    """A backbone and a head with one parameter of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict(dict(
            conv=nn.Conv2d(3, 32, 3), norm=nn.BatchNorm2d(32), linear=nn.Linear(4, 5)))
        self.head = nn.ModuleDict(dict(
            conv=nn.Conv2d(3, 32, 3), norm=nn.GroupNorm(4, 32), layer=nn.LayerNorm(7),
            embed=nn.Embedding(6, 7)))
        self.level_embed = nn.Parameter(torch.randn(3, 4))


UNDECAYED = ('norm.weight', 'norm.bias', 'layer.weight', 'layer.bias', 'embed.weight')


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_steps(layout: torch.memory_format) -> None:
    """Biases and the raw level embedding are decayed, norms and embeddings are not; the backbone
    learns at a tenth; all gradients together are clipped."""
    model = Whole().to(memory_format=layout)
    wrapper = build_optim_wrapper(model, dict(
        type='OptimWrapper', constructor='GroupedOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=LR, weight_decay=DECAY, betas=BETAS, eps=EPS),
        paramwise_cfg=dict(backbone_lr_mult=0.1), clip_grad=dict(max_norm=0.01, norm_type=2)))
    start = {name: to_numpy(value) for name, value in model.named_parameters()}
    start = {name: value.copy() for name, value in start.items()}
    gradients: dict[str, list] = {name: [] for name in start}
    for _ in range(3):
        drawn = {name: torch.randn(value.shape) for name, value in start.items()}
        norm = math.sqrt(sum(value.square().sum().item() for value in drawn.values()))
        for name, value in drawn.items():
            gradients[name].append(to_numpy(value) * 0.01 / norm)
        loss: Tensor = sum((parameter * drawn[name]).sum()
                           for name, parameter in model.named_parameters())
        wrapper.update_params(loss)
    for name, parameter in model.named_parameters():
        expected = adamw(start[name], gradients[name],
                         lr=LR * (0.1 if name.startswith('backbone') else 1),
                         decay=0 if name.endswith(UNDECAYED) else DECAY)
        np.testing.assert_allclose(to_numpy(parameter), expected, rtol=1e-3, atol=1e-5,
                                   err_msg=name)


def rates(config: Config, iterations: list[int]) -> list[float]:
    """Learning rate in these iterations, counted from 0."""
    base = config.optim_wrapper.optimizer.lr
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=base)
    options = dict(optimizer=optimizer, end=config.train_cfg.max_iters)  # as the runner does
    schedulers = [PARAM_SCHEDULERS.build(own, default_args=options)
                  for own in config.param_scheduler]
    found = []
    optimizer.step()
    for iteration in range(iterations[-1] + 1):
        if iteration in iterations:
            found.append(optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            scheduler.step()
    return found


@pytest.mark.parametrize('file, last', [
    ('mask2former/r50_8xb2_ade20k.py', 160000),
    ('mask2former/r50_8xb2_cityscapes-semantic.py', 90000)])
def test_polynomial_schedule(file: str, last: int, repo: Path) -> None:
    """lr (1 - t / T)^0.9, in the first iteration the full rate."""
    config = Config.fromfile(repo / 'configs' / file)
    assert config.train_cfg.max_iters == last
    iterations = [0, 1, 2, 50, 700]
    assert rates(config, iterations) == pytest.approx(
        [1e-4 * (1 - t / last) ** 0.9 for t in iterations], rel=1e-9)


@pytest.mark.parametrize('options', [{}, dict(end=10**9), dict(end=None)])
def test_polynomial_schedule_needs_an_end(options: dict) -> None:
    """MMEngine's mark of no end is none."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1)
    with pytest.raises(ValueError, match='where it ends'):
        PARAM_SCHEDULERS.build(dict(type='PolyLR', **options),
                               default_args=dict(optimizer=optimizer))


def test_polynomial_schedule_with_warm_up(repo: Path) -> None:
    """MaskFormer's Swin models: from a millionth, linear over 1500 iterations, times the decay."""
    config = Config.fromfile(repo / 'configs' / 'maskformer' / 'swin-t_8xb2_ade20k.py')
    iterations = [0, 1, 2, 400, 1499, 1500, 1600]
    expected = [6e-5 * (1 - t / 160000) ** 0.9 * (1e-6 + (1 - 1e-6) * min(t / 1500, 1))
                for t in iterations]
    assert rates(config, iterations) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize('file, iterations, drops', [
    ('mask2former/r50_8xb2_coco-panoptic.py', 368750, (327778, 355092)),
    ('mask2former/r50_8xb2_coco-instance.py', 368750, (327778, 355092)),
    ('mask2former/swin-l_8xb2_coco-panoptic.py', 737500, (655556, 710184))])
def test_step_schedule(file: str, iterations: int, drops: tuple[int, ...], repo: Path) -> None:
    config = Config.fromfile(repo / 'configs' / file)
    assert config.train_cfg.max_iters == iterations
    schedule, = config.param_scheduler
    assert tuple(schedule.milestones) == drops and schedule.get('gamma', 0.1) == 0.1
    assert not schedule.get('by_epoch', True)


def test_losses_of_a_model_are_summed_as_they_are() -> None:
    """Weights are inside the losses: nothing else scales the total."""
    from test_readout_slowly import CLASSES, PADDED, SMALL, THINGS, Fixed, queries

    from unimask.structures import Taxonomy
    prediction, _, _ = queries()
    names = tuple(f'c{i}' for i in range(CLASSES))
    model = build(dict(
        type='UniversalSegmentor', backbone=Fixed([torch.zeros(1, 4, *SMALL)]), neck=Fixed(None),
        head=Fixed(prediction), taxonomy=Taxonomy(
            names, tuple(i in THINGS for i in range(CLASSES)), ((0, 0, 0),) * CLASSES
        ).to_metainfo(), criterion=Criterion()))
    from mmdet.structures import DetDataSample
    from mmengine.structures import PixelData
    samples = [DetDataSample(), DetDataSample()]
    for sample in samples:
        sample.gt_sem_seg = PixelData(sem_seg=torch.zeros(1, *PADDED, dtype=torch.int64))
    losses = model(torch.zeros(2, 3, *PADDED), samples, mode='loss')
    total, _ = model.parse_losses(losses)
    assert total.item() == pytest.approx(2 + 3)


class Criterion(nn.Module):
    def forward(self, *_: object) -> dict[str, Tensor]:
        return {'loss_a': torch.tensor(2.0), 'd0.loss_b': torch.tensor(3.0)}
