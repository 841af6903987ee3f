"""SeMask-Mask2Former with FaPN gives the published implementation's numbers with golden weights.

Errors are relative to the standard deviation of the published values.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from semask_tools import SeMaskCase
from torch import Tensor

from unimask.convert import convert_state_dict
from unimask.models.segmentors.targets import make_target_batch

CONFIG = 'configs/semask/semask-swin-l_mask2former-fapn_8xb2_ade20k.py'
SEEDS = 12
pytestmark = pytest.mark.slow  # 226 million parameters


@pytest.fixture(scope='module')
def case(goldens: Path, repo: Path) -> SeMaskCase:
    if not (goldens / 'semask').exists():
        pytest.skip('the optional test data reference/goldens/semask is not here')
    model = Config.fromfile(repo / CONFIG).model
    return SeMaskCase(goldens / 'semask', 'fapn_m2f_swin_l_ade', dict(model, init_cfg=None))


def test_parameters(case: SeMaskCase) -> None:
    trainable = sum(p.numel() for p in case.model.parameters() if p.requires_grad)
    assert trainable == case.info['trainable_params'] == 226_745_479


@pytest.mark.parametrize('letter', 'AB')
def test_outputs(case: SeMaskCase, letter: str) -> None:
    inputs = case.inputs(letter)
    with torch.no_grad():
        features = case.model.encode(inputs)
        pixels = case.model.neck(features.maps)
        prediction = case.model.head(pixels)
    found = {f'pd_multi_scale{i}': level for i, level in enumerate(pixels.memory)}
    check(case, letter, found | dict(pd_mask_features=pixels.mask_features), 3e-4)
    assert prediction.num_predictions == 10
    found = {f'pred_logits{i}': prediction.class_logits[i] for i in range(10)}
    found |= {f'pred_masks{i}': prediction.mask_logits(i) for i in range(10)}
    check(case, letter, found, 5e-4)


def check(case: SeMaskCase, letter: str, found: dict[str, Tensor], allowed: float) -> None:
    errors = {name: case.error(f'{letter}.{name}', value) for name, value in found.items()}
    assert max(errors.values()) <= allowed, errors


@pytest.mark.parametrize('letter', 'AB')
def test_class_scores(case: SeMaskCase, letter: str) -> None:
    from mmdet.structures import DetDataSample
    spec, inputs = case.info['inputs'][letter], case.inputs(letter)
    size = (spec['height'], spec['width'])
    samples = [DetDataSample(metainfo=dict(img_shape=size, ori_shape=size)) for _ in inputs]
    with torch.no_grad():
        scores = torch.stack(list(case.model.semantic_scores(inputs, samples)))
    check(case, letter, dict(sem_seg=scores), 5e-4)


def test_losses(case: SeMaskCase) -> None:
    """The points are drawn: their losses agree in the mean, the semantic one exactly."""
    inputs, samples = case.inputs('A'), case.samples(case.labels())
    targets = make_target_batch(samples, size=tuple(inputs.shape[-2:]),
                                taxonomy=case.model.taxonomy, device=inputs.device)
    with torch.no_grad():
        features = case.model.encode(inputs)
        prediction = case.model.decode(features)
        prior = case.model.auxiliary['aux'](features, targets)['loss_sem']
        drawn = []
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            drawn.append(case.model.criterion(prediction, targets))
    expected = case.info['losses_unweighted']
    assert prior.item() == pytest.approx(0.4 * expected['loss_cate']['mean'], rel=1e-5)
    kinds = dict(ce=('cls', 2.0), mask=('mask', 5.0), dice=('dice', 5.0))
    compared = 0
    for name, value in expected.items():
        _, kind, *layer = name.split('_')
        if kind not in kinds:
            continue
        ours, weight = kinds[kind]
        prefix = f'd{layer[0]}.' if layer else ''
        mean, std = weight * value['mean'], weight * value['std']
        allowed = 4 * std / math.sqrt(SEEDS) + 1e-4 * mean
        found = sum(losses[f'{prefix}loss_{ours}'].item() for losses in drawn) / SEEDS
        assert found == pytest.approx(mean, abs=allowed), name
        compared += 1
    assert compared == 30


def our_names(case: SeMaskCase) -> dict[str, str]:
    """Official parameter name -> our name; both names of a shared norm are one parameter."""
    names = [name for name, (_, dtype) in case.entries.items() if 'int' not in dtype]
    marked = {name: torch.full(case.entries[name][0], float(number))
              for number, name in enumerate(names)}
    tied = dict(case.info['tied'])
    marked |= {alias: marked[owner] for alias, owner in tied.items()}
    ours = {names[int(value.flatten()[0])]: name
            for name, value in convert_state_dict(marked).items() if value.is_floating_point()}
    return ours | {alias: ours[owner] for alias, owner in tied.items()}


def test_gradients(case: SeMaskCase) -> None:
    """Of a fixed sum of all predictions, in double precision; the published ones are single.

    The tolerance in the encoder, where all sums end, is that of rounding. Measured on two cores of
    an AMD EPYC, in steps of the tolerance (1e-4 of the norm): published against double precision
    99 % below 2.8, at most 5.2 (a gate, one number); this model in single precision against itself
    in double, 99 % below 13, at most 60 (a gate).
    """
    names, model = our_names(case), case.model.double()
    case.our_names = lambda: names
    prediction = model.decode(model.encode(case.inputs('A').double()))
    total = sum(
        (values * torch.from_numpy(case.fill.projection(f'{kind}{i}', values.shape))).mean()
        for i in range(10) for kind, values in (('logits', prediction.class_logits[i]),
                                                ('masks', prediction.mask_logits(i))))
    model.zero_grad()
    total.backward()
    errors = case.gradient_errors('grad_norms_surrogate')
    model.float()
    assert total.item() == pytest.approx(case.info['surrogate'], rel=1e-4)
    assert sum('pixel_decoder.align' in name for name in errors) >= 15
    wrong = {name: steps for name, steps in errors.items()
             if steps > (6 if name.startswith('backbone.') else 1)}
    assert not wrong
