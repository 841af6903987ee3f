"""Every registered component of the models: build, forward, backward, state-dict round trip.

A component without an entry in ``CASES`` fails the sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from test_models.test_segmentor import CRITERION, config
from torch import Tensor, nn

from unimask.models.post_processors import MaskReadout
from unimask.ops.resize import ResizePlan
from unimask.registry import MODELS, TASK_UTILS
from unimask.structures import (
    BackboneFeatures,
    DensePrediction,
    MaskPrediction,
    PixelFeatures,
    SegmentTargets,
    TargetBatch,
    Taxonomy,
)

CHANNELS = (8, 16, 24, 32)
TAXONOMY = Taxonomy(('a', 'b', 'c'), (True, True, False), ((0, 0, 0),) * 3)


@dataclass(frozen=True)
class Case:
    """How a component is built and called; ``run`` gives something with a gradient, or None."""

    config: dict
    run: Callable[[object], Tensor | None]


def maps() -> list[Tensor]:
    return [torch.randn(2, width, 64 // 2**i, 96 // 2**i) for i, width in enumerate(CHANNELS)]


def encoder(**settings: object) -> Case:
    return Case(dict(num_classes=3, windows=(4, 4, None, None), **settings),
                lambda module: features_total(module(torch.randn(1, 3, 64, 96))))


def features_total(features: BackboneFeatures) -> Tensor:
    return sum(each.square().sum() for each in (*features.maps, *features.semantic))


def run_prior(head: object) -> Tensor:
    scores = [torch.randn(2, 3, 16 // 2**i, 24 // 2**i, requires_grad=True) for i in range(4)]
    return head(BackboneFeatures((), tuple(scores))).logits.square().sum()


def pixels_total(pixels: PixelFeatures) -> Tensor:
    return pixels.mask_features.sum() + sum(level.square().sum() for level in pixels.memory)


def prediction_total(prediction: MaskPrediction) -> Tensor:
    return prediction.class_logits.sum() + prediction.mask_logits().square().sum()


def neck(**settings: object) -> Case:
    return Case(dict(dict(in_channels=CHANNELS, channels=32, mask_channels=16), **settings),
                lambda module: pixels_total(module(maps())))


def head(levels: int, **settings: object) -> Case:
    def pixels() -> PixelFeatures:
        memory = tuple(torch.randn(2, 32, 4 * 2**i, 6 * 2**i) for i in range(levels))
        return PixelFeatures(torch.randn(2, 16, 32, 48), memory)

    common = dict(num_classes=3, memory_channels=(32,) * levels, mask_channels=16, channels=32,
                  num_queries=5, num_layers=2, num_heads=2, ffn_channels=16)
    return Case(dict(common, **settings), lambda module: prediction_total(module(pixels())))


def run_piloted(module: object) -> Tensor:
    pixels = PixelFeatures(torch.randn(2, 16, 32, 48),
                           tuple(torch.randn(2, 32, 4 * 2**i, 6 * 2**i) for i in range(3)))
    found = module(pixels, targets(2, size=(128, 192)))
    return prediction_total(found) + prediction_total(found.piloted.prediction)


def run_pilot(module: object) -> Tensor:
    made = module(targets(2, size=(64, 96)), [(4, 6), (8, 12)])
    assert made.guide(0).shape == (2, 1, 3, 24) and made.content.shape[:2] == (2, 3)
    return made.content.square().sum()


def targets(images: int, *, size: tuple[int, int]) -> TargetBatch:
    """Segments one to three, on the device that is the default."""
    first = torch.arange(images).repeat_interleave(3)
    place = torch.arange(3).repeat(images)
    return TargetBatch(place, first, place, (3,) * images,
                       torch.zeros((images, *size), dtype=torch.int16), None)


def run_criterion(criterion: object) -> Tensor:
    targets = SegmentTargets.from_masks(torch.rand(2, 32, 32) > 0.5, [0, 2])
    made = MaskPrediction(
        torch.randn(2, 1, 4, 4, requires_grad=True), torch.randn(2, 1, 4, 6, requires_grad=True),
        torch.randn(1, 6, 8, 8, requires_grad=True))
    return sum(criterion(made, TargetBatch.stack([targets])).values())


def run_mask_loss(loss: object) -> Tensor:
    logits = torch.randn(2, 3, 10, requires_grad=True)
    value = loss(logits, torch.rand(2, 3, 10).round())
    assert value.shape == (2,)
    torch.testing.assert_close(type(loss)(weight=2.0)(logits, torch.ones(2, 3, 10)),
                               2 * type(loss)()(logits, torch.ones(2, 3, 10)))
    return value.sum()


def run_post_processor(processor: object) -> None:
    plan = ResizePlan((8, 8), (32, 32), (30, 32), (40, 41))
    readout = MaskReadout(torch.randn(4, 4), torch.randn(4, 6), torch.randn(6, 8, 8), plan)
    found = processor(readout, TAXONOMY)
    assert processor.field in ('pred_sem_seg', 'pred_instances', 'pred_panoptic_seg')
    maps = found.masks if isinstance(found, InstanceData) else found.sem_seg
    assert maps.shape[1:] == (40, 41)


def run_dense_criterion(criterion: object) -> Tensor:
    targets = SegmentTargets.from_id_map(torch.randint(4, (32, 32)), [0, 2, 3], [0, 2, 1])
    logits = torch.randn(2, 1, 3, 8, 8, requires_grad=True)
    return sum(criterion(DensePrediction(logits), TargetBatch.stack([targets])).values())


def run_tta(module: object) -> None:
    sample = DetDataSample(metainfo=dict(ori_shape=(30, 40), img_shape=(64, 64)))
    data = dict(inputs=[torch.zeros(3, 64, 64, dtype=torch.uint8)], data_samples=[sample])
    assert module.eval().test_step(data)[0].pred_sem_seg.sem_seg.shape == (1, 30, 40)


def preprocess(module: object) -> None:
    sample = DetDataSample(gt_sem_seg=PixelData(sem_seg=torch.zeros(1, 5, 7)))
    batch = dict(inputs=[torch.full((3, 5, 7), 30)], data_samples=[sample])
    data = module(batch, True)
    assert data['inputs'].shape == (1, 3, 8, 8)
    assert data['inputs'][0, 0, 0, 0] == 2.0 and data['inputs'][0, 0, 7, 7] == 0
    assert data['data_samples'][0] is sample
    for training in (False, True):
        assert torch.equal(module(batch, training)['inputs'], data['inputs'])


CASES = {
    'UniversalSegmentor': Case(
        {k: v for k, v in config().items() if k != 'type'},
        lambda model: prediction_total(model(torch.randn(1, 3, 64, 64)))),
    'TimmBackbone': Case(
        dict(model_name='resnet10t'),
        lambda module: sum(each.sum() for each in module(torch.randn(2, 3, 64, 64)))),
    'TimmSwin': Case(
        dict(embed_dims=8, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4), window_size=4),
        lambda module: sum(each.sum() for each in module(torch.randn(2, 3, 64, 64)))),
    'StagedResNet': Case(
        dict(depths=(1, 2, 1, 1), widths=(8, 12, 20, 32), stem_channels=6),
        lambda module: sum(each.sum() for each in module(torch.randn(2, 3, 64, 64)))),
    'SeMaskEncoder': encoder(encoder=dict(type='TimmBackbone', model_name='resnet10t')),
    'SeMaskSwin': encoder(size='tiny'),
    'SeMaskMiT': encoder(size='b0'),
    'FPNPixelDecoder': neck(),
    'SemanticFPNPixelDecoder': Case(
        dict(in_channels=CHANNELS, channels=16), lambda module: pixels_total(module(maps()))),
    'TransformerEncoderPixelDecoder': neck(num_layers=1, num_heads=2, ffn_channels=16),
    'MSDeformAttnPixelDecoder': neck(num_layers=1, num_heads=2, ffn_channels=16),
    'FaPNPixelDecoder': neck(),
    'MSFaPNPixelDecoder': neck(num_layers=1, num_heads=2, ffn_channels=16),
    'Mask2FormerHead': head(3),
    'MaskFormerHead': head(1),
    'MaskPilotedHead': Case(
        dict(head(3).config, pilot=dict(
            type='MaskPilot', label_noise=0.0, mask_noise=dict(type='PointNoise'))), run_piloted),
    'MaskPilot': Case(dict(num_classes=3, channels=8, label_noise=0.0), run_pilot),
    **{name: Case(dict(
        module=config(data_preprocessor=dict(
            type='ImagePreprocessor', mean=[9.0] * 3, std=[9.0] * 3, pad_size_divisor=32)),
        short_sides=(64, 96)), run_tta) for name in ('SegmentorTTA', 'SemanticTTA')},
    'PerPixelHead': Case(
        dict(num_classes=3, mask_channels=16, dropout=0.1),
        lambda module: module(PixelFeatures(torch.randn(2, 16, 8, 8))).logits.square().sum()),
    'PerPixelQueryHead': Case(
        {k: v for k, v in head(1).config.items() if k != 'num_queries'},
        lambda module: module(PixelFeatures(
            torch.randn(2, 16, 8, 8), (torch.randn(2, 32, 4, 6),))).logits.square().sum()),
    'SemanticPriorHead': Case(dict(num_classes=3), run_prior),
    'PixelCriterion': Case(dict(hardest=200), run_dense_criterion),
    'ImagePreprocessor': Case(
        dict(mean=[10.0] * 3, std=[10.0] * 3, pad_size_divisor=8), preprocess),
    'SetCriterion': Case({k: v for k, v in CRITERION.items() if k != 'type'}, run_criterion),
    'MaskBCELoss': Case({}, run_mask_loss),
    'MaskFocalLoss': Case({}, run_mask_loss),
    'MaskDiceLoss': Case({}, run_mask_loss),
    'SemanticPostProcessor': Case({}, run_post_processor),
    'InstancePostProcessor': Case({}, run_post_processor),
    'PanopticPostProcessor': Case({}, run_post_processor),
}


REGISTERED = {n for n, c in MODELS.module_dict.items()
              if c.__module__.startswith('unimask.models')}


@pytest.mark.parametrize('name', sorted(REGISTERED | set(CASES)))
def test_component(name: str) -> None:
    case = CASES[name]
    component = MODELS.build(dict(type=name, **case.config))
    total = case.run(component)
    if total is not None:
        assert torch.isfinite(total)
        total.backward()
    if isinstance(component, nn.Module):
        missing = [n for n, p in component.named_parameters()
                   if p.requires_grad and p.grad is None]
        assert total is None or not missing
        again = MODELS.build(dict(type=name, **case.config))
        again.load_state_dict(component.state_dict(), strict=True)


def test_every_cost_and_sampler_is_used_by_a_test() -> None:
    known = {'ClassCost', 'MaskBCECost', 'MaskFocalCost', 'DiceCost', 'HungarianMatcher',
             'UncertainPointSampler', 'PointNoise', 'ShiftNoise', 'ScaleNoise', 'PatchNoise'}
    ours = {n for n, c in TASK_UTILS.module_dict.items() if c.__module__.startswith('unimask.')}
    assert ours <= known
