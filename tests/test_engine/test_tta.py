"""Test-time augmentation."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config

from unimask.errors import UserError
from unimask.models.segmentors import SemanticTTA
from unimask.preflight import use_tta
from unimask.registry import MODELS

MODEL = dict(
    type='UniversalSegmentor', taxonomy=dict(classes=('a', 'b', 'c')),
    data_preprocessor=dict(type='ImgDataPreprocessor', mean=[120.] * 3, std=[60.] * 3,
                           bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(type='TimmBackbone', model_name='resnet10t'),
    neck=dict(type='FPNPixelDecoder', channels=64, mask_channels=64),
    head=dict(type='Mask2FormerHead', num_queries=5, num_layers=1, channels=64, num_heads=4,
              ffn_channels=32),
    test_cfg=dict(tasks=('semantic',)))


@pytest.fixture(scope='module')
def model() -> torch.nn.Module:
    """A small segmentor."""
    torch.manual_seed(0)
    return MODELS.build(MODEL).eval()


def batch(size: tuple[int, int] = (48, 64), original: tuple[int, int] = (60, 80)) -> dict:
    sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=original, img_id=1))
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    return dict(inputs=[image], data_samples=[sample])


def test_one_view_equals_the_model(model: torch.nn.Module) -> None:
    data = batch()
    expected = model.test_step(data)[0].pred_sem_seg.sem_seg.clone()
    found = SemanticTTA(model, short_sides=(48,), flip=False).test_step(data)
    assert torch.equal(found[0].pred_sem_seg.sem_seg, expected)
    assert found[0].pred_sem_seg.sem_seg.shape == (1, 60, 80)


def test_scores_are_the_mean_of_all_views(model: torch.nn.Module) -> None:
    data = batch()
    image, sample = data['inputs'][0], data['data_samples'][0]
    both = SemanticTTA(model, short_sides=(32, 48), flip=True).scores(image, sample)
    parts = [SemanticTTA(model, short_sides=(side,), flip=False).scores(view, sample)
             for side in (32, 48) for view in (image, image.flip(-1))]
    mean = (parts[0] + parts[1].flip(-1) + parts[2] + parts[3].flip(-1)) / 4
    assert torch.allclose(both, mean, atol=1e-3)  # a pixel may be rounded otherwise
    assert both.shape == (3, 60, 80)


def test_mirrored_image_gives_the_mirrored_map(model: torch.nn.Module) -> None:
    data = batch()
    image, sample = data['inputs'][0], data['data_samples'][0]
    tta = SemanticTTA(model)
    assert torch.allclose(tta.scores(image.flip(-1), sample).flip(-1), tta.scores(image, sample),
                          atol=1e-3)


def test_sizes_follow_the_published_rule(model: torch.nn.Module) -> None:
    image = torch.zeros(3, 40, 100, dtype=torch.uint8)
    tta = SemanticTTA(model, short_sides=(20, 60, 80), max_long_side=120, flip=False)
    views = tta._views(image)
    assert [tuple(view.shape[-2:]) for view, _ in views] == [(20, 50), (48, 120), (48, 120)]
    tta = SemanticTTA(model, short_sides=(20, 60, 80), max_long_side=(30, 200, 180), flip=False)
    views = tta._views(image)
    assert [tuple(view.shape[-2:]) for view, _ in views] == [(12, 30), (60, 150), (72, 180)]
    with pytest.raises(UserError, match='one bound for each'):
        SemanticTTA(model, short_sides=(20, 60, 80), max_long_side=(30, 200))
    default = [min(view.shape[-2:]) for view, mirrored in SemanticTTA(model)._views(image)
               if not mirrored]
    assert default == [20, 30, 40, 50, 60, 70]


def test_only_semantic_scores_are_kept() -> None:
    cfg = Config(dict(model=dict(type='X'), tta_model=dict(type='SemanticTTA', flip=False),
                      test_evaluator=[dict(type='PQMetric'), dict(type='MeanIoUMetric')]))
    use_tta(cfg)
    assert [metric.type for metric in cfg.test_evaluator] == ['MeanIoUMetric']
    assert cfg.model.module.type == 'X' and cfg.model.flip is False
    with pytest.raises(UserError, match='PQMetric'):
        use_tta(Config(dict(model=dict(), test_evaluator=dict(type='PQMetric'))))
