"""Whole SeMask models with the golden weights give the published implementations' numbers.

Errors are relative to the standard deviation of the published values (tests/semask_tools.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from semask_tools import SeMaskCase
from torch import Tensor

from unimask.models.heads import SemanticPriorHead

FPN = {'fpn_swin_t_ade': 'semask/semask-swin-t_fpn_8xb2_ade20k.py',
       'fpn_swin_b_ade': 'semask/semask-swin-b_fpn_8xb2_ade20k.py'}


def load_case(goldens: Path, repo: Path, name: str, config: str) -> SeMaskCase:
    if not (goldens / 'semask').exists():
        pytest.skip('the optional test data reference/goldens/semask is not here')
    model = Config.fromfile(repo / 'configs' / config).model
    if 'norm_cfg' in model.neck:
        model.neck.norm_cfg = dict(type='BN')  # SyncBN is for several GPUs
    return SeMaskCase(goldens / 'semask', name, model)


@pytest.fixture(scope='module', params=FPN, ids=list(FPN))
def fpn(request: pytest.FixtureRequest, goldens: Path, repo: Path) -> SeMaskCase:
    return load_case(goldens, repo, request.param, FPN[request.param])


def count(case: SeMaskCase, part: str = '') -> int:
    return sum(value.numel() for name, value in case.model.named_parameters()
               if value.requires_grad and part in name)


def losses(case: SeMaskCase, labels: list[Tensor]) -> dict[str, Tensor]:
    return case.model(case.inputs('A'), case.samples(labels), mode='loss')


def test_fpn_parameters(fpn: SeMaskCase) -> None:
    assert count(fpn) == fpn.info['trainable_params']
    assert count(fpn, 'semantic_layers') == fpn.info['semantic_layer_params']


@pytest.mark.parametrize('letter', 'AB')
def test_fpn_predictions(fpn: SeMaskCase, letter: str) -> None:
    inputs = fpn.inputs(letter)
    with torch.no_grad():
        features = fpn.model.encode(inputs)
        (merged,) = SemanticPriorHead(num_classes=150)(features).logits
        (logits,) = fpn.model.decode(features).logits
        resized = torch.nn.functional.interpolate(logits, inputs.shape[-2:], mode='bilinear')
    found = {f'feat{i}': value for i, value in enumerate(features.maps)} | {
        f'sem{i}': value for i, value in enumerate(features.semantic)} | dict(
        merged_sem=merged, head_logits=logits, logits=resized)
    errors = {key: fpn.error(f'{letter}.{key}', value) for key, value in found.items()}
    assert max(errors.values()) <= 1e-4, errors


def test_fpn_losses(fpn: SeMaskCase) -> None:
    with torch.no_grad():
        check_losses(losses(fpn, fpn.labels()), fpn.info['losses_eval_nosampler'])


def check_losses(found: dict[str, Tensor], expected: dict[str, float]) -> None:
    assert found['loss_sem'].item() == pytest.approx(expected['decode.loss_ce'], rel=1e-5)
    assert found['aux.loss_sem'].item() == pytest.approx(expected['decode.loss_cate'], rel=1e-5)


def test_fpn_gradients(goldens: Path, repo: Path) -> None:
    check_gradients(load_case(goldens, repo, 'fpn_swin_t_ade', FPN['fpn_swin_t_ade']))


@pytest.mark.slow
def test_fpn_gradients_of_swin_b(goldens: Path, repo: Path) -> None:
    check_gradients(load_case(goldens, repo, 'fpn_swin_b_ade', FPN['fpn_swin_b_ade']))


def check_gradients(case: SeMaskCase) -> None:
    """In double precision: some CPUs' convolutions are off by 5e-4 backwards (Winograd)."""
    case.model.double()
    inputs, samples = case.inputs('A').double(), case.samples(case.labels())
    sum(case.model(inputs, samples, mode='loss').values()).backward()
    errors = case.gradient_errors('grad_norms')
    assert max(errors.values()) <= 1, {n: e for n, e in errors.items() if e > 1}
    ours, parameters = case.our_names(), dict(case.model.named_parameters())
    for key in case.fill.names(case.arrays):
        if key.startswith('grad.'):
            gradient = parameters[ours[key.removeprefix('grad.')]].grad
            allowed = 1e-3 if key.endswith('mlp_cls_k.bias') else 2e-4
            assert case.error(key, gradient) <= allowed, key


def test_fpn_hardest_pixels(fpn: SeMaskCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fpn.model.criterion, 'hardest', 5000)
    with torch.no_grad():
        check_losses(losses(fpn, fpn.labels()), fpn.info['losses_eval_ohem5000'])


def test_fpn_nothing_labelled(fpn: SeMaskCase) -> None:
    fpn.model.zero_grad()
    found = losses(fpn, [torch.full_like(each, 255) for each in fpn.labels()])
    assert [value.item() for value in found.values()] == [0, 0]
    sum(found.values()).backward()
    gradients = [p.grad for p in fpn.model.parameters() if p.requires_grad]
    assert all(each is not None and not each.any() for each in gradients)


@pytest.mark.parametrize('stage', range(4))
def test_fpn_windows_are_not_the_whole_map(fpn: SeMaskCase, stage: int,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: with the other kind of attention a stage's map is another one."""
    layer = fpn.model.backbone.semantic_layers[stage]
    monkeypatch.setattr(layer, 'window', None if layer.window else 7)
    with torch.no_grad():
        features = fpn.model.encode(fpn.inputs('A'))
    assert fpn.error(f'A.sem{stage}', features.semantic[stage]) <= 1e-4
    assert fpn.error(f'A.feat{stage}', features.maps[stage]) > 0.05


def test_fpn_training_mode(goldens: Path, repo: Path) -> None:
    """Batch norms in training; without the random parts the losses are those published."""
    case = load_case(goldens, repo, 'fpn_swin_t_ade', FPN['fpn_swin_t_ade'])
    case.model.train()
    for module in case.model.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d):
            module.p = 0.0
        elif type(module).__name__ == 'DropPath':
            module.drop_prob = 0.0
    with torch.no_grad():
        check_losses(losses(case, case.labels()), case.info['losses_train_bn'])
    ours, buffers = case.our_names(), dict(case.model.named_buffers())
    keys = [key for key in case.fill.names(case.arrays)
            if key.startswith('after_train.') and 'num_batches' not in key]
    assert keys
    for key in keys:
        assert case.error(key, buffers[ours[key.removeprefix('after_train.')]]) <= 1e-4, key
