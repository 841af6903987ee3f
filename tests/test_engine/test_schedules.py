"""Polynomial decay that ends with the training."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import PolyLR as TheirPolyLR
from torch import nn

from unimask.engine import Runner
from unimask.engine.optim import PolyLR
from unimask.errors import UserError
from unimask.preflight import prepare_config
from unimask.registry import PARAM_SCHEDULERS

LENGTH = 137


def rates(schedule: type, *, lr: float, **options: object) -> list[float]:
    """Rate of every iteration, and the one after the last."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = schedule(optimizer, by_epoch=False, **options)
    found = [optimizer.param_groups[0]['lr']]
    for _ in range(LENGTH):
        scheduler.step()
        found.append(optimizer.param_groups[0]['lr'])
    return found


@pytest.mark.parametrize(('power', 'lowest', 'begin'), [(0.9, 0.0, 0), (2.0, 1e-5, 0),
                                                        (0.9, 0.0, 20)])
def test_formula(power: float, lowest: float, begin: int) -> None:
    found = rates(PolyLR, lr=1e-3, power=power, eta_min=lowest, begin=begin, end=LENGTH)
    for iteration, rate in enumerate(found):
        share = max(iteration - begin, 0) / (LENGTH - begin)
        assert rate == pytest.approx(lowest + (1e-3 - lowest) * (1 - share)**power, rel=1e-9)


def test_rates_are_those_of_mmengine_one_iteration_longer() -> None:
    options = dict(lr=1e-4, power=0.9, eta_min=0.0)
    assert rates(PolyLR, end=LENGTH, **options) == rates(TheirPolyLR, end=LENGTH + 1, **options)


def test_the_runner_fills_in_the_length(config: Config) -> None:
    config.param_scheduler = [dict(type='PolyLR', power=0.9, by_epoch=False)]
    config.custom_hooks = []
    runner = Runner.from_cfg(prepare_config(config))
    runner.train()
    (schedule,) = runner.param_schedulers
    assert type(schedule) is PolyLR
    assert schedule.end == config.train_cfg.max_iters + 1
    assert runner.optim_wrapper.get_lr()['lr'] == [0.0]


def test_without_an_end_it_says_so() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(UserError, match='give `end`'):
        PARAM_SCHEDULERS.build(dict(type='PolyLR', by_epoch=False),
                               default_args=dict(optimizer=optimizer))
