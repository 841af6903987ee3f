"""Test-time augmentation."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch.nn import functional

from unimask.errors import UserError
from unimask.models.post_processors import MaskReadout
from unimask.models.segmentors import SegmentorTTA, SemanticTTA
from unimask.models.segmentors.query_fusion import QueryFusion
from unimask.ops.resize import ResizePlan
from unimask.preflight import use_tta
from unimask.registry import MODELS

MODEL = dict(
    type='UniversalSegmentor', taxonomy=dict(classes=('a', 'b', 'c'), thing_classes=('a', 'b')),
    data_preprocessor=dict(type='ImgDataPreprocessor', mean=[120.] * 3, std=[60.] * 3,
                           bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(type='TimmBackbone', model_name='resnet10t'),
    neck=dict(type='FPNPixelDecoder', channels=64, mask_channels=64),
    head=dict(type='Mask2FormerHead', num_queries=5, num_layers=1, channels=64, num_heads=4,
              ffn_channels=32),
    post_processors=dict(panoptic=dict(object_threshold=0.0, overlap_threshold=0.0)))


@pytest.fixture(scope='module')
def model() -> torch.nn.Module:
    """A small segmentor for all tasks."""
    torch.manual_seed(1)
    built = MODELS.build(MODEL).eval()
    with torch.no_grad():  # masks that differ: a fresh model sees one class nearly everywhere
        built.neck.mask_features.weight.mul_(10)
        built.neck.mask_features.bias.zero_()
    return built


def batch(size: tuple[int, int] = (48, 64), original: tuple[int, int] = (60, 80)) -> dict:
    sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=original, img_id=1))
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    return dict(inputs=[image], data_samples=[sample])


def slow_scores(model: torch.nn.Module, view: torch.Tensor, sample: DetDataSample) -> torch.Tensor:
    """Class scores of one view alone, at the original size."""
    sample = sample.clone()
    sample.set_metainfo(dict(img_shape=tuple(view.shape[-2:])))
    data = model.data_preprocessor(dict(inputs=[view], data_samples=[sample]), False)
    with torch.no_grad():
        return next(model.semantic_scores(data['inputs'], data['data_samples']))


# --------------------------------------------------------------------------------------- semantic

def test_one_view_equals_the_model(model: torch.nn.Module) -> None:
    data = batch()
    expected = model.test_step(data)[0].pred_sem_seg.sem_seg.clone()
    found = SemanticTTA(model, short_sides=(48,), flip=False).test_step(data)
    assert torch.equal(found[0].pred_sem_seg.sem_seg, expected)
    assert found[0].pred_sem_seg.sem_seg.shape == (1, 60, 80)


def test_semantic_scores_are_the_mean_of_all_views(model: torch.nn.Module) -> None:
    """After resizing to the original size; mirror images are turned back."""
    data = batch()
    image, sample = data['inputs'][0], data['data_samples'][0]
    small = functional.interpolate(
        image[None].float(), size=(32, 43), mode='bilinear', antialias=True)[0].round().byte()
    total = sum(slow_scores(model, view.flip(-1) if mirrored else view, sample).flip(*flips)
                for view in (image, small) for mirrored, flips in ((False, [[]]), (True, [[-1]])))
    found = SemanticTTA(model, short_sides=(32, 48)).test_step(data)[0].pred_sem_seg.sem_seg[0]
    best = total.topk(2, 0)
    clear = best.values[0] - best.values[1] > 1e-3
    assert clear.float().mean() > 0.8
    assert torch.equal(found[clear], best.indices[0][clear])
    assert not torch.equal(found, slow_scores(model, image, sample).argmax(0))
    assert len(found.unique()) > 1


def test_mirrored_image_gives_the_mirrored_results(model: torch.nn.Module) -> None:
    data = batch()
    tta = SegmentorTTA(model, short_sides=(32, 48))
    sample = tta.test_step(data)[0].clone()
    other = tta.test_step(dict(data, inputs=[data['inputs'][0].flip(-1)]))[0]
    same = other.pred_sem_seg.sem_seg.flip(-1) == sample.pred_sem_seg.sem_seg
    assert same.float().mean() > 0.99
    assert torch.allclose(other.pred_instances.scores.sort().values,
                          sample.pred_instances.scores.sort().values, atol=1e-3)


def test_sizes_follow_the_published_rule(model: torch.nn.Module) -> None:
    image = torch.zeros(3, 40, 100, dtype=torch.uint8)

    def sizes(**options: object) -> list:
        return [tuple(view.shape[-2:]) for view in SemanticTTA(model, **options)._views(image)]
    assert sizes(short_sides=(20, 60, 80), max_long_side=120) == [(20, 50), (48, 120), (48, 120)]
    assert sizes(short_sides=(20, 60), max_long_side=(30, 150)) == [(12, 30), (60, 150)]
    # The size of the image itself comes first.
    assert [short for short, _ in sizes()] == [40, 30, 50, 20, 60, 70]
    with pytest.raises(UserError, match='one bound for each of short_sides'):
        SemanticTTA(model, short_sides=(20, 60), max_long_side=(30,))


def test_mirror_images_are_optional_and_run_beside_the_plain_ones(
        model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one where the memory is too small for two."""
    data, sizes = batch(), []
    run = SegmentorTTA._run

    def count(self, views, sample, room=2):
        sizes.append(len(views))
        if len(views) > room:
            raise torch.OutOfMemoryError('too large')
        return run(self, views, sample)
    monkeypatch.setattr(SegmentorTTA, '_run', count)
    plain, both = (SegmentorTTA(model, short_sides=(48,), flip=flip) for flip in (False, True))
    plain.test_step(data)
    assert sizes == [1]
    whole = both.test_step(data)[0].clone()
    assert sizes == [1, 2]
    monkeypatch.setattr(SegmentorTTA, '_run', lambda *args: count(*args, room=1))
    parts = both.test_step(data)[0]
    assert sizes == [1, 2, 2, 1, 1]
    assert torch.equal(parts.pred_panoptic_seg.sem_seg, whole.pred_panoptic_seg.sem_seg)
    assert torch.allclose(parts.pred_instances.scores, whole.pred_instances.scores, atol=1e-4)
    monkeypatch.setattr(SegmentorTTA, '_run', lambda *args: count(*args, room=0))
    with pytest.raises(torch.OutOfMemoryError):
        both.test_step(data)


# ---------------------------------------------------------------------------------------- queries

GRID, CLASSES = (12, 16), 3


def readout(masks: torch.Tensor, classes: torch.Tensor) -> MaskReadout:
    """Queries with these mask logits (Q, h, w) and class logits (Q, K + 1)."""
    plan = ResizePlan(GRID, GRID, GRID, GRID)
    return MaskReadout(classes, torch.eye(len(masks)), masks, plan)


def boxes(*corners: tuple[int, int, int, int]) -> torch.Tensor:
    """Mask logits of boxes top, left, bottom, right."""
    masks = torch.full((len(corners), *GRID), -3.0)
    for mask, (top, left, bottom, right) in zip(masks, corners, strict=True):
        mask[top:bottom, left:right] = 3.0
    return masks


def test_the_same_queries_in_another_order_are_the_same_ones() -> None:
    masks = boxes((0, 0, 6, 6), (6, 6, 12, 16), (0, 8, 5, 16))
    classes = torch.randn(3, CLASSES + 1)
    fusion, order = QueryFusion(views=2, limit=6), [2, 0, 1]
    fusion.add(readout(masks, classes), mirrored=False)
    fusion.add(readout(masks[order].flip(-1), classes[order]), mirrored=True)
    fused = fusion.readout((24, 32))
    assert torch.allclose(fused.class_logits.softmax(-1), classes.softmax(-1), atol=1e-6)
    assert torch.allclose(fused.maps(), masks, atol=1e-4)
    assert fused.plan.output == (24, 32)


def test_masks_are_averaged_where_seen_and_classes_over_all_views() -> None:
    first, second = boxes((0, 0, 6, 6)), boxes((0, 0, 6, 8), (8, 8, 12, 16))
    classes = torch.tensor([[2.0, 0, 0, 0], [0, 0, 3.0, 0]])
    fusion = QueryFusion(views=2, limit=6)
    fusion.add(readout(first, classes[:1]), mirrored=False)
    fusion.add(readout(second, classes), mirrored=False)
    fused = fusion.readout(GRID)
    probability = fused.class_logits.softmax(-1)
    assert torch.allclose(probability[0], classes[0].softmax(-1), atol=1e-6)
    alone = classes[1].softmax(-1)
    assert torch.allclose(probability[1, :-1], alone[:-1] / 2, atol=1e-6)
    assert probability[1, -1] == pytest.approx(1 - alone[:-1].sum().item() / 2, abs=1e-6)
    share = fused.maps().sigmoid()
    assert torch.allclose(share[0], (first.sigmoid() + second.sigmoid())[0] / 2, atol=1e-5)
    assert torch.allclose(share[1], second[1].sigmoid(), atol=1e-5)


def test_queries_of_one_mask_are_told_apart_by_their_class() -> None:
    masks = boxes((0, 0, 6, 6), (0, 0, 6, 6))
    classes = 4 * torch.eye(CLASSES + 1)[[0, 2]]
    fusion = QueryFusion(views=2, limit=6)
    fusion.add(readout(masks, classes), mirrored=False)
    fusion.add(readout(masks, classes.flip(0)), mirrored=False)
    assert torch.allclose(fusion.readout(GRID).class_logits.softmax(-1), classes.softmax(-1),
                          atol=1e-6)


def test_segments_that_hardly_overlap_stay_apart_and_the_best_are_kept() -> None:
    classes = torch.tensor([[1.0, 0, 0, 0], [3.0, 0, 0, 0], [2.0, 0, 0, 0]])
    masks = boxes((0, 0, 6, 6), (0, 4, 6, 10), (6, 0, 12, 16))
    for limit, expected in ((6, 3), (2, 2)):
        fusion = QueryFusion(views=2, limit=limit)
        fusion.add(readout(masks[:1], classes[:1]), mirrored=False)
        fusion.add(readout(masks[1:], classes[1:]), mirrored=False)
        assert len(fusion.readout(GRID).class_logits) == expected
    assert torch.allclose(fusion.readout(GRID).maps(), masks[1:], atol=1e-4)


def test_one_view_has_the_instances_and_segments_of_the_model(model: torch.nn.Module) -> None:
    """But for masks that are made at a quarter of the size first."""
    data = batch((64, 96), (64, 96))
    expected = model.test_step(data)[0].clone()
    found = SegmentorTTA(model, short_sides=(64,), flip=False).test_step(data)[0]
    ours, theirs = found.pred_instances, expected.pred_instances
    assert torch.equal(ours.labels, theirs.labels) and len(ours) > 3
    assert torch.allclose(ours.scores, theirs.scores, atol=0.05)
    both = (ours.masks & theirs.masks).sum((1, 2)) + 1
    assert (both / ((ours.masks | theirs.masks).sum((1, 2)) + 1)).min() > 0.8
    same = found.pred_panoptic_seg.sem_seg == expected.pred_panoptic_seg.sem_seg
    assert same.float().mean() > 0.8
    assert torch.equal(found.pred_sem_seg.sem_seg, expected.pred_sem_seg.sem_seg)


# ---------------------------------------------------------------------------------------- configs

def test_which_metrics_are_kept() -> None:
    metrics = [dict(type='PQMetric'), dict(type='MeanIoUMetric'),
               dict(type='CityscapesSemanticMetric'), dict(type='DumpPredictions')]
    cfg = Config(dict(model=dict(type='X'), tta_model=dict(type='SemanticTTA', flip=False),
                      test_evaluator=metrics))
    use_tta(cfg)
    assert [metric.type for metric in cfg.test_evaluator] == [
        'MeanIoUMetric', 'CityscapesSemanticMetric', 'DumpPredictions']
    assert cfg.model.module.type == 'X' and cfg.model.flip is False
    cfg = Config(dict(model=dict(type='X'), test_evaluator=metrics))
    use_tta(cfg)
    assert len(cfg.test_evaluator) == 4 and cfg.model.type == 'SegmentorTTA'
    assert 'test_dataloader' not in cfg
    cfg = Config(dict(model=dict(type='X'), tta_pipeline=[dict(type='LoadImage')],
                      test_dataloader=dict(dataset=dict(pipeline=[]))))
    use_tta(cfg)
    assert cfg.test_dataloader.dataset.pipeline == [dict(type='LoadImage')]
    for only in (dict(type='PQMetric'), [metrics[0], metrics[3]]):
        with pytest.raises(UserError, match='PQMetric.*SegmentorTTA'):
            use_tta(Config(dict(model=dict(), tta_model=dict(type='SemanticTTA'),
                                test_evaluator=only)))
