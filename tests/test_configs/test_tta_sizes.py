"""Published sizes of test-time augmentation are those of the configs."""

from pathlib import Path

import pytest
from mmengine.config import Config

from unimask.preflight import load_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
STEPS = range(2, 8)  # of the short edge at test time, in quarters
# Config -> short edge at test time, and the limit of the long one as a multiple of it (the same for
# all sizes) or, for SeMask-FPN, as a multiple of each size.
PUBLISHED = {
    'mask2former/r50_8xb2_ade20k.py': (512, 7),
    'mask2former/swin-l_8xb2_ade20k.py': (640, 7),
    'mask2former/r101_8xb2_cityscapes-semantic.py': (1024, 4),
    'maskformer/r50_8xb2_ade20k.py': (512, 7),
    'maskformer/r50_8xb2_ade20k-per-pixel-baseline.py': (512, 7),
    'maskformer/swin-l_8xb2_ade20k.py': (640, 7),
    'maskformer/r50_8xb4_coco-stuff10k.py': (640, 7),
    'maskformer/r101_8xb2_cityscapes-semantic.py': (1024, 4),
    'semask/semask-swin-l_mask2former_8xb2_ade20k.py': (640, 7),
    'semask/semask-swin-t_fpn_8xb2_ade20k.py': (512, 'each'),
    'semask/semask-swin-l_fpn_8xb2_ade20k.py': (640, 'each'),
    'semask/semask-swin-l_fpn_8xb2_coco-stuff10k.py': (640, 'each'),
    'semask/semask-swin-t_fpn_4xb2_cityscapes-semantic.py': (1024, 'each'),
}


def resizes(cfg: Config) -> list:
    return [step for step in cfg.get('tta_pipeline') or cfg.test_dataloader.dataset.pipeline
            if 'Resize' in step['type']]


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_sizes(name):
    cfg, (short, limit) = load_config(str(CONFIGS / name), {}), PUBLISHED[name]
    sides = tuple(step * short // 4 for step in STEPS)
    assert cfg.tta_model.type == 'SemanticTTA' and tuple(cfg.tta_model.short_sides) == sides
    if limit == 'each':
        ratio = 2 if 'cityscapes' in name else 4
        assert list(cfg.tta_model.max_long_side) == [ratio * side for side in sides]
        assert resizes(cfg) == []
    else:
        assert cfg.tta_model.max_long_side == limit * short
        assert resizes(cfg)[0]['short_edge'] == short
