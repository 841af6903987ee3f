"""A config for the toy model."""

import sys
from pathlib import Path

import pytest
from mmengine.config import Config

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import toy  # noqa: E402,F401

TEXT = f"""
import sys; sys.path.insert(0, {str(HERE)!r})
custom_imports = dict(imports=['toy'], allow_failed_imports=False)
default_scope = 'unimask'
data_root = 'data/toy'
model = dict(type='ToyModel', taxonomy='ToyData')
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='InfiniteSampler', shuffle=True),
    drop_last=True, dataset=dict(type='ToyData', serialize_data=False))
val_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ToyData', serialize_data=False, test_mode=True))
test_dataloader = val_dataloader
val_evaluator = [dict(type='ToyMetric')]
test_evaluator = val_evaluator
train_cfg = dict(type='IterBasedTrainLoop', max_iters=12, val_interval=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='AmpOptimWrapper', dtype='float16',
    optimizer=dict(type='AdamW', lr=0.01), clip_grad=dict(max_norm=1.0))
param_scheduler = [dict(type='MultiStepLR', milestones=[6, 9], gamma=0.1, by_epoch=False),
                   dict(type='PolyLR', power=0.9, by_epoch=False, end=12)]
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=3, by_epoch=False,
                                     max_keep_ckpts=2),
                     logger=dict(type='LoggerHook', interval=2, log_metric_by_epoch=False))
custom_hooks = [dict(type='EMAHook', momentum=0.1)]
log_processor = dict(by_epoch=False)
randomness = dict(seed=3)
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """The toy config in a file."""
    path = tmp_path / 'toy_config.py'
    path.write_text(TEXT)
    return path


@pytest.fixture
def config(config_file: Path, tmp_path: Path) -> Config:
    """The toy config, read."""
    from unimask.preflight import load_config
    cfg = load_config(config_file)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.experiment_name = tmp_path.name  # MMEngine's loggers of one name and second are one
    return cfg
