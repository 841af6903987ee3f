"""A killed and resumed run ends with the weights of an unbroken one."""

from pathlib import Path

import pytest
import torch
import toy
from mmengine.config import Config
from mmengine.hooks import Hook

from unimask.checkpoints import latest_checkpoint
from unimask.engine import Runner
from unimask.errors import UserError
from unimask.preflight import prepare_config


class Kill(Hook):
    """Ends a run without warning, as SIGKILL does."""

    priority = 'VERY_LOW'

    def __init__(self, at: int) -> None:
        self.at = at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 == self.at:
            raise ZeroDivisionError


def train(cfg: Config, work_dir: Path, *, kill_at: int | None = None) -> dict:
    cfg = prepare_config(cfg)
    cfg.work_dir = str(work_dir)
    runner = Runner.from_cfg(cfg)
    if kill_at:
        runner.register_hook(Kill(kill_at))
        with pytest.raises(ZeroDivisionError):
            runner.train()
    else:
        runner.train()
    # End the workers now: collected later, in a test that forks again, they are waited for.
    runner.train_loop.dataloader_iterator._iterator = None
    state = runner.model.state_dict()
    ema = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
    return {**state, **{f'ema.{k}': v for k, v in ema.ema_model.state_dict().items()}}


@pytest.mark.parametrize(('kill_at', 'workers'), [(5, 0), (8, 2), (9, 0)])
def test_resumed_equals_unbroken(config: Config, tmp_path: Path, kill_at: int,
                                 workers: int) -> None:
    config.train_dataloader.num_workers = workers
    unbroken = train(config, tmp_path / 'unbroken')
    train(config, tmp_path / 'killed', kill_at=kill_at)
    config.resume = True
    config.randomness.seed = None  # a resumed run takes the seed of its beginning
    torch.rand(5)
    resumed = train(config, tmp_path / 'killed')
    assert unbroken.keys() == resumed.keys()
    for name, value in unbroken.items():
        assert torch.equal(value, resumed[name]), name


def test_resumed_with_muon_equals_unbroken(config: Config, tmp_path: Path) -> None:
    config.optim_wrapper = dict(
        type='OptimWrapper', constructor='GroupedOptimWrapperConstructor',
        optimizer=dict(type='Muon', lr=0.01, weight_decay=0.05, nesterov=True))
    unbroken = train(config, tmp_path / 'unbroken')
    train(config, tmp_path / 'killed', kill_at=8)
    config.resume = True
    resumed = train(config, tmp_path / 'killed')
    assert all(torch.equal(value, resumed[name]) for name, value in unbroken.items())


def test_grouped_batches_resume_without_loading_the_past(
        config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.train_dataloader.batch_sampler = dict(type='AspectRatioBatchSampler')
    config.train_dataloader.pop('drop_last')
    unbroken = train(config, tmp_path / 'unbroken')
    train(config, tmp_path / 'killed', kill_at=9)
    config.resume = True
    loaded = []
    prepare = toy.ToyData.prepare_data
    monkeypatch.setattr(toy.ToyData, 'prepare_data', lambda self, idx: (
        None if self.test_mode else loaded.append(idx), prepare(self, idx))[1])
    resumed = train(config, tmp_path / 'killed')
    assert all(torch.equal(value, resumed[name]) for name, value in unbroken.items())
    assert len(loaded) == 2 * 3  # iterations 10 to 12


def test_workers_do_not_change_the_result(config: Config, tmp_path: Path) -> None:
    first = train(config, tmp_path / 'none')
    config.train_dataloader.num_workers = 2
    second = train(config, tmp_path / 'two')
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_another_seed_changes_the_result(config: Config, tmp_path: Path) -> None:
    first = train(config, tmp_path / 'a')
    config.randomness.seed = 4
    second = train(config, tmp_path / 'b')
    assert not torch.equal(first['class_embed.weight'], second['class_embed.weight'])


def test_old_checkpoints_go_after_the_new_one_is_there(config: Config, tmp_path: Path) -> None:
    train(config, tmp_path)
    assert sorted(path.name for path in tmp_path.glob('iter_*')) == ['iter_12.pth', 'iter_9.pth']
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'iter_12.pth')


def test_auto_without_a_checkpoint_starts_anew(config: Config, tmp_path: Path) -> None:
    config.resume = True
    assert train(config, tmp_path / 'new')


def test_resuming_from_weights_only_is_explained(config: Config, tmp_path: Path) -> None:
    state = train(config, tmp_path / 'run')
    weights = {name: value for name, value in state.items() if not name.startswith('ema.')}
    torch.save(dict(state_dict=weights, meta={}), tmp_path / 'weights.pth')
    config.resume, config.load_from = True, str(tmp_path / 'weights.pth')
    config.custom_hooks = []
    with pytest.raises(UserError, match='weights only'):
        train(config, tmp_path / 'resumed')
