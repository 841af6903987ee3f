"""What people put around a training: averaged weights, best checkpoint, early end, boards."""

import importlib.util
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from unimask.engine import Runner
from unimask.errors import UserError
from unimask.preflight import prepare_config


def trained(cfg: Config) -> Runner:
    runner = Runner.from_cfg(prepare_config(cfg))
    runner.train()
    return runner


def test_averaged_weights_are_those_that_a_checkpoint_is_used_with(config: Config) -> None:
    config.custom_hooks = [dict(type='EMAHook', momentum=0.5)]
    config.train_cfg.update(max_iters=3, val_interval=3)
    runner = trained(config)
    stored = torch.load(Path(runner.work_dir) / 'iter_3.pth', weights_only=False)
    trained_to = runner.model.state_dict()['class_embed.weight']
    average = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook').ema_model
    expected = average.state_dict()['module.class_embed.weight']
    assert not torch.equal(trained_to, expected)
    # MMEngine swaps them: what is loaded for use is the average.
    assert torch.equal(stored['state_dict']['class_embed.weight'], expected)
    assert torch.equal(stored['ema_state_dict']['module.class_embed.weight'], trained_to)


def test_the_best_checkpoint_stays(config: Config) -> None:
    config.default_hooks.checkpoint.update(save_best='toy/score', rule='greater', interval=100)
    runner = trained(config)
    best, = Path(runner.work_dir).glob('best_toy_score_iter_*.pth')
    assert runner.message_hub.get_info('best_score') == 4.0
    assert best.name.endswith('iter_4.pth')  # later ones were not better


def test_a_training_ends_early_where_nothing_gets_better(config: Config) -> None:
    config.custom_hooks = [dict(type='EarlyStoppingHook', monitor='toy/score', rule='greater',
                                patience=2)]
    config.train_cfg.update(max_iters=40, val_interval=2)
    assert trained(config).iter < 20


def test_gradients_of_several_steps_make_an_update(config: Config) -> None:
    config.optim_wrapper.update(accumulative_counts=3, clip_grad=None)
    config.train_cfg.update(max_iters=6, val_interval=6)
    runner = trained(config)
    steps = {int(state['step']) for state in runner.optim_wrapper.optimizer.state.values()}
    assert steps == {2}


def test_parts_learn_at_rates_of_their_own(config: Config) -> None:
    config.optim_wrapper.update(
        constructor='GroupedOptimWrapperConstructor',
        paramwise_cfg=dict(custom_keys={'class_embed': dict(lr_mult=0.0)}),
        optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.0))
    config.train_cfg.update(max_iters=3, val_interval=3)
    runner = Runner.from_cfg(prepare_config(config))
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.train()
    after = runner.model.state_dict()
    assert torch.equal(before['class_embed.weight'], after['class_embed.weight'])
    assert not torch.equal(before['body.0.weight'], after['body.0.weight'])


@pytest.mark.parametrize(('backend', 'package'), [
    ('TensorboardVisBackend', 'tensorboard'), ('MLflowVisBackend', 'mlflow')])
def test_boards(config: Config, tmp_path: Path, backend: str, package: str) -> None:
    options = {} if package == 'tensorboard' else dict(tracking_uri=f'file:{tmp_path / "mlruns"}')
    config.visualizer = dict(type='UniversalVisualizer', vis_backends=[
        dict(type='LocalVisBackend'), dict(type=backend, **options)])
    config.train_cfg.update(max_iters=4, val_interval=4)
    if importlib.util.find_spec(package) is None:
        with pytest.raises((UserError, ImportError), match=f'pip install .*{package}'):
            trained(config)
        return
    trained(config)
    assert [*Path(config.work_dir).rglob('events.out.tfevents*'),
            *(tmp_path / 'mlruns').rglob('meta.yaml')]
