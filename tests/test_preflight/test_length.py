"""`max_iters` on the command line carries the schedule with it."""

from pathlib import Path

import pytest

from unimask.preflight import load_config

CONFIG = 'configs/mask2former/r50_8xb2_ade20k.py'


@pytest.mark.parametrize('key', ['max_iters', 'train_cfg.max_iters'])
def test_schedule_follows(repo: Path, key: str) -> None:
    before = load_config(repo / CONFIG)
    cfg = load_config(repo / CONFIG, {key: 300})
    assert cfg.train_cfg.max_iters == cfg.max_iters == 300
    assert before.train_cfg.max_iters == 160000
    assert 'end' not in cfg.param_scheduler[-1]  # the length of the training


def test_validation_at_the_end_stays_there(repo: Path) -> None:
    config = repo / 'configs/mask2former/tf-efficientnet-lite0_1xb2_camvid.py'
    assert load_config(config, {'max_iters': 70}).train_cfg.val_interval == 70
    assert load_config(repo / CONFIG, {'max_iters': 70}).train_cfg.val_interval == 5000
