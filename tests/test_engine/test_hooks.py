"""Non-finite losses, signals, the progress line, pictures."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from unimask.checkpoints import latest_checkpoint, read_checkpoint
from unimask.engine import Interrupted, NonFiniteLossError, Runner
from unimask.engine.hooks import record
from unimask.preflight import prepare_config


class Send(Hook):
    """Sends this process a signal."""

    def __init__(self, *, signum: int, at: int, where: str) -> None:
        self.signum = signum
        self.at = at
        self.where = where

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if self.where == 'train' and runner.iter + 1 == self.at:
            os.kill(os.getpid(), self.signum)

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        if self.where == 'val' and runner.iter == self.at:
            os.kill(os.getpid(), self.signum)


def weights(runner: Runner) -> dict:
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


def test_non_finite_loss_stops_before_the_weights_suffer(config: Config) -> None:
    config.model.fail_at = 5
    runner = Runner.from_cfg(prepare_config(config))
    with pytest.raises(NonFiniteLossError) as caught:
        runner.train()
    text = str(caught.value)
    assert 'iteration 5' in text and 'image_' in text and 'loss_cls' in text
    assert all(torch.isfinite(value).all() for value in weights(runner).values())
    work_dir = Path(config.work_dir)
    dump = torch.load(work_dir / 'non_finite_iter_5_rank_0.pt', weights_only=False)
    assert len(dump['batch']['inputs']) == 2 and dump['losses']['loss'] != dump['losses']['loss']
    assert read_checkpoint(work_dir / 'iter_4.pth')['meta']['iter'] == 4
    assert latest_checkpoint(work_dir).endswith('iter_4.pth')


@pytest.mark.parametrize('clip', [True, False])
def test_non_finite_gradient_stops(config: Config, clip: bool) -> None:
    if not clip:
        config.optim_wrapper.clip_grad = None
    runner = Runner.from_cfg(prepare_config(config))
    parse = runner.model.parse_losses

    def infinite_slope(losses: dict) -> tuple:
        total, parts = parse(losses)
        return total + (runner.model.class_embed.weight[0, 0] * 0).sqrt(), parts
    runner.model.parse_losses = infinite_slope
    with pytest.raises(NonFiniteLossError, match='gradient of iteration 1'):
        runner.train()
    assert all(value.isfinite().all() for value in weights(runner).values())


@pytest.mark.parametrize(('signum', 'where', 'at', 'saved'), [
    (signal.SIGTERM, 'train', 5, 5), (signal.SIGINT, 'train', 2, 2), (signal.SIGINT, 'val', 4, 4)])
def test_signal_saves_and_stops(config: Config, tmp_path: Path, signum: int, where: str, at: int,
                                saved: int) -> None:
    before = signal.getsignal(signum)
    prepared = prepare_config(config)
    runner = Runner.from_cfg(prepared)
    runner.register_hook(Send(signum=signum, at=at, where=where))
    with pytest.raises(Interrupted) as caught:
        runner.train()
    assert caught.value.signum == signum
    assert caught.value.checkpoint.endswith(f'iter_{saved}.pth')
    assert signal.getsignal(signum) == before
    prepared.resume = True
    resumed = Runner.from_cfg(prepared)
    resumed.train()
    prepared.resume, prepared.work_dir = False, str(tmp_path / 'unbroken')
    unbroken = Runner.from_cfg(prepared)
    unbroken.train()
    for name, value in weights(unbroken).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_progress_line(config: Config) -> None:
    runner = Runner.from_cfg(prepare_config(config))
    runner.train()
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    line = next(line for line in log.splitlines() if 'train 10/12' in line)
    parts = [part.strip() for part in line.split(' - ')[-1].split('|')]
    names = [part.split()[0] for part in parts]
    assert names[:4] == ['train', 'loss', 'grad_norm', 'lr']
    assert 'cls' in parts[1] and 'dice' in parts[1] and 'd0' not in line
    assert 'it/s' in parts[4] and parts[5].startswith('left 0:00:') and parts[6].endswith(' MB')
    scalars = next(Path(runner.log_dir).glob('vis_data/*.json')).read_text()
    assert '"d8.loss_dice"' in scalars  # what the line leaves out is in the file


def test_user_can_switch_a_hook_off(config: Config) -> None:
    config.default_hooks.finite_loss = None
    names = Runner.from_cfg(prepare_config(config)).get_hooks_info()
    assert 'FiniteLossHook' not in names and 'InterruptHook' in names
    assert 'RecordHook' in names


def test_what_cannot_be_noted_is_a_warning(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> dict:
        raise KeyError('nothing to tell')
    monkeypatch.setattr(record, 'describe_run', fail)
    monkeypatch.setattr(record, 'describe_evaluation', fail)
    config.train_cfg.max_iters = 5
    runner = Runner.from_cfg(prepare_config(config))
    runner.train()
    assert runner.iter == 5
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    assert log.count("could not be noted (KeyError: 'nothing to tell')") == 1  # told once


def test_what_a_report_needs_is_noted(config: Config) -> None:
    """Also with a metric that tells nothing of classes and pictures."""
    config.train_cfg.max_iters = 5
    prepared = prepare_config(config)
    runner = Runner.from_cfg(prepared)
    runner.train()
    noted = [json.loads(line) for line in
             (Path(runner.log_dir) / 'evaluations.json').read_text().splitlines()]
    assert [(each['step'], each['scores'], each['tables'], each['worst']) for each in noted] == [
        (step, {'toy/score': 4.0}, {}, None) for step in (4, 5)]
    told = json.loads((Path(runner.log_dir) / 'run.json').read_text())
    assert told['first_step'] == 0 and told['steps'] == 5
    assert told['data']['train'] == dict(images=7, objects=None, classes=3, source='')
    prepared.resume, prepared.train_cfg.max_iters = True, 6
    resumed = Runner.from_cfg(prepared)
    resumed.train()
    told = json.loads((Path(resumed.log_dir) / 'run.json').read_text())
    assert told['first_step'] == 5
