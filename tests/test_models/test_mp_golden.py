"""Mask-piloted training gives the published implementation's numbers, draw by draw.

Tolerances as in ``test_golden``. The published code counts empty slots: ``published_padding``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_tools import GoldenCase, fix_random
from mmdet.structures import DetDataSample
from mmengine.config import Config
from test_golden import TOLERANCE, check_instance, check_matches, output_size, record_matches
from torch import Tensor

from unimask.models.piloting import MaskPilot
from unimask.structures import MaskPrediction

NAME = 'mpformer_r50_coco_instance'
CONFIG = 'configs/mp_former/r50_8xb2_coco-instance.py'
TAGS = {'published': [5, 3], 'noisy_groups3': [5, 3], 'budget100_first_layers': [5, 3],
        'one_empty': [5, 0], 'all_empty': [0, 0]}
KINDS = {'ce': 'cls', 'mask': 'mask', 'dice': 'dice'}


@pytest.fixture(scope='module')
def case(goldens: Path, repo: Path) -> GoldenCase:
    return GoldenCase(goldens, NAME, Config.fromfile(repo / CONFIG).model)


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random numbers that depend on their shape alone, as in most of the goldens."""
    fix_random(monkeypatch)
    draw_from(monkeypatch, probabilities=uniform, classes=integers, cells=uniform)


def uniform(shape: tuple[int, ...], call: int | None = None) -> np.ndarray:
    """From 0 to 1; by the shape alone, or as the published code's call of that number."""
    return generator(shape, call).random(shape).astype(np.float32)


def integers(low: int, high: int, shape: tuple[int, ...], call: int | None = None) -> np.ndarray:
    return generator(shape, call).integers(low, high, shape)


def generator(shape: tuple[int, ...], call: int | None) -> np.random.Generator:
    seed = zlib.crc32(repr(tuple(shape)).encode()) if call is None else 10000 + call
    return np.random.default_rng(seed)


def draw_from(monkeypatch: pytest.MonkeyPatch, *, probabilities: Callable, classes: Callable,
              cells: Callable) -> None:
    """Where the pilot's random numbers come from: whether a label is replaced, by what, noise."""
    monkeypatch.setattr(
        torch, 'rand', lambda *shape, **_: torch.from_numpy(probabilities(shape)))
    monkeypatch.setattr(torch, 'randint_like', lambda like, high: torch.from_numpy(
        classes(0, high, tuple(like.shape))))
    monkeypatch.setattr(
        torch, 'rand_like', lambda like, **_: torch.from_numpy(cells(tuple(like.shape))))


def draw_in_turn(monkeypatch: pytest.MonkeyPatch, *, labels: bool) -> None:
    """Random numbers by the published order of calls: cells of layer 0, labels, other layers.

    The predictions of some settings were recorded so.
    """
    layers = iter([0, *range(3 if labels else 1, 12)])
    draw_from(monkeypatch, probabilities=lambda shape: uniform(shape, 1),
              classes=lambda *args: integers(*args, call=2),
              cells=lambda shape: uniform(shape, next(layers)))


@pytest.fixture(params=TAGS)
def tag(request: pytest.FixtureRequest, case: GoldenCase) -> Iterator[str]:
    """A setting, with the pilot that it describes in the model."""
    published = case.info['losses'][request.param]
    head, trained = case.model.head, case.model.head.pilot
    head.pilot = pilot_of(published, trained)
    yield request.param
    head.pilot = trained


def pilot_of(golden: dict, trained: MaskPilot) -> MaskPilot:
    number, scale = golden['dn']['scalar'], golden['dn']['noise_scale']
    settings = golden['settings']
    pilot = MaskPilot(
        num_classes=80, groups=number if number < 100 else None,
        query_budget=None if number < 100 else number,
        label_noise=max(settings['label_noise_ratio'], 0),
        mask_noise=dict(type='PointNoise', ratio=scale) if scale else None,
        noise_per_head=settings['head_noise'],
        guided_layers=None if settings['all_layers'] else 4, published_padding=True)
    pilot.load_state_dict(trained.state_dict())
    return pilot


def test_trainable_parameters(case: GoldenCase) -> None:
    count = sum(p.numel() for p in case.model.parameters() if p.requires_grad)
    assert count == case.info['trainable_params']


@pytest.mark.parametrize('images', ['pair', 'odd'])
def test_without_targets_it_is_mask2former(case: GoldenCase, images: str) -> None:
    inputs, sizes = case.batch(images)
    with torch.no_grad():
        prediction = case.model(inputs)
    assert prediction.piloted is None
    check_layers(case, f'{images}.pred', prediction)
    if images == 'pair':
        return  # a flipped cell (see check_layers) changes some of its instances
    samples = [DetDataSample(metainfo=dict(img_shape=size, ori_shape=output_size(images, size)))
               for size in sizes]
    for index, sample in enumerate(case.model(inputs, samples, mode='predict')):
        check_instance(case, f'{images}.result{index}', sample)


def check_layers(case: GoldenCase, key: str, prediction: MaskPrediction) -> None:
    """All predictions that are recorded, at least the last one.

    A rounding error can flip a cell of the mask that the next layer sees. Where it does in the
    published implementation, what is seen there is allowed ten times over.
    """
    assert f'{key}_logits.{prediction.num_predictions - 1}' in case.arrays
    shaken = case.info.get(f"{key.partition('.')[0]}.sensitivity_1e-6", {})
    for layer in range(prediction.num_predictions):
        for kind, size, values in (('logits', 'logit_max', prediction.class_logits[layer]),
                                   ('masks', 'mask_max', prediction.mask_logits(layer))):
            name = f'{key}_{kind}.{layer}'
            if name in case.arrays:
                largest = np.abs(case.arrays[name]).max()
                allowed = max(TOLERANCE, 10 * shaken.get(size, [0] * 10)[layer] / largest)
                assert case.error(name, values) < allowed, name


def test_predictions(case: GoldenCase, tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if tag == 'all_empty':
        pytest.skip('nothing is piloted in this setting')
    if 'seq' in case.info['losses'][tag]:
        draw_in_turn(monkeypatch, labels=case.model.head.pilot.label_noise > 0)
    inputs, _ = case.batch('pair')
    with torch.no_grad():
        prediction = case.model.decode(case.model.encode(inputs), case.targets(TAGS[tag]))
    check_layers(case, f'train.{tag}.dn_pred', prediction.piloted.prediction)
    check_layers(case, f'train.{tag}.match_pred', prediction)


def test_queries_and_masks(case: GoldenCase, tag: str) -> None:
    golden = case.info['losses'][tag]
    if tag == 'all_empty':
        pytest.skip('nothing is piloted in this setting')
    targets, pilot = case.targets(TAGS[tag]), case.model.head.pilot
    piloted = pilot(targets, [(4, 5), (8, 10), (16, 20)])
    assert piloted.content.shape[1] == golden['pad_size']
    key = f'train.{tag}'
    if f'{key}.dn_query_content' in case.arrays:
        assert case.error(f'{key}.dn_query_content', piloted.content.transpose(0, 1)) == 0
    if f'{key}.self_attn_mask' in case.arrays:
        assert torch.equal(~piloted.among(100)[0, 0],
                           unpacked(case, f'{key}.self_attn_mask', golden['self_attn_mask_shape']))
    for layer, shape in enumerate(golden['gt_attn_shapes']):
        if f'{key}.gt_attn_blocked.{layer}' in case.arrays:
            blocked = unpacked(case, f'{key}.gt_attn_blocked.{layer}', shape)
            assert torch.equal(piloted.guide(layer), ~blocked | blocked.all(-1, keepdim=True))


def unpacked(case: GoldenCase, key: str, shape: list[int]) -> Tensor:
    bits = np.unpackbits(case.arrays[key])[:math.prod(shape)]
    return torch.from_numpy(bits.astype(bool)).view(shape)


def test_losses_matches_and_gradients(case: GoldenCase, tag: str,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    golden = case.info['losses'][tag]
    recorded = record_matches(case, monkeypatch)
    inputs, _ = case.batch('pair')
    case.model.zero_grad()
    losses = case.model(inputs, case.samples(TAGS[tag]), mode='loss')
    assert len(losses) == 60
    total = sum(losses.values())
    assert total.item() == pytest.approx(golden['shape_total_weighted'], rel=1e-4)
    for name, expected in golden['shape'].items():
        ours, weight = our_name(name)
        assert losses[ours].item() == pytest.approx(weight * expected, rel=1e-3, abs=1e-6), name
    check_matches(recorded, golden['shape_matching'])
    total.backward()
    parameters = dict(case.model.named_parameters())
    assert all(p.grad is not None for p in parameters.values() if p.requires_grad)
    if 'grad_norms' in golden:
        largest = max(filter(None, golden['grad_norms'].values()))
        for official, name in case.official_names().items():
            expected = golden['grad_norms'].get(official)
            if expected is not None:
                ours = parameters[name].grad.norm().item()
                assert ours == pytest.approx(expected, rel=1e-2, abs=1e-5 * largest), official


def our_name(official: str) -> tuple[str, float]:
    """``loss_mask_dn_3`` -> ``d3.mp.loss_mask`` and its weight."""
    _, kind, *rest = official.split('_')
    part = 'mp.' if 'dn' in rest else ''
    layer = ''.join(f'd{each}.' for each in rest if each.isdigit())
    return f'{layer}{part}loss_{KINDS[kind]}', 2.0 if kind == 'ce' else 5.0
