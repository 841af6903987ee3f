"""Parameter groups and schedules equal those of the published optimisers."""

import json
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from timm.optim import muon as timm_muon
from torch import nn

from unimask.convert import convert_state_dict
from unimask.engine.optim import AnyLayoutAdamW, GroupedOptimWrapperConstructor, Muon
from unimask.errors import UserError
from unimask.registry import MODELS, PARAM_SCHEDULERS

CASES = {
    'maskformer_r50_ade20k_semantic': 'maskformer/r50_8xb2_ade20k.py',
    'mask2former_r50_coco_panoptic': 'mask2former/r50_8xb2_coco-panoptic.py',
    'mask2former_swin_t_ade20k_semantic': 'mask2former/swin-t_8xb2_ade20k.py',
    'mpformer_r50_coco_instance': 'mp_former/r50_8xb2_coco-instance.py',
}
CFG = dict(type='OptimWrapper', constructor='GroupedOptimWrapperConstructor',
           optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05))


class Part(nn.Module):
    """A part with every kind of parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.norm = nn.LayerNorm(3)
        self.embed = nn.Embedding(2, 3)
        self.level_embed = nn.Parameter(torch.zeros(2, 3))
        self.relative_position_bias_table = nn.Parameter(torch.zeros(9, 1))
        self.frozen = nn.Parameter(torch.zeros(1), requires_grad=False)


class Model(nn.Module):
    """A backbone and something else, which share a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Part()
        self.neck = Part()
        self.neck.tied = self.backbone.fc


def settings(model: nn.Module, wrapper: OptimWrapper) -> dict[str, tuple[float, float]]:
    """Learning rate and decay of every parameter that learns."""
    found = {id(parameter): (group['lr'], group['weight_decay'])
             for group in wrapper.optimizer.param_groups for parameter in group['params']}
    return {name: found[id(parameter)] for name, parameter in model.named_parameters()
            if id(parameter) in found}


def build(model: nn.Module, **changes) -> OptimWrapper:
    return build_optim_wrapper(model, {**CFG, **changes})


def test_rules() -> None:
    model = Model()
    wrapper = build(model, paramwise_cfg=dict(backbone_lr_mult=0.1))
    found = settings(model, wrapper)
    for part, lr in (('backbone', 1e-5), ('neck', 1e-4)):
        for name in ('fc.weight', 'fc.bias', 'level_embed'):
            assert found[f'{part}.{name}'] == (pytest.approx(lr), 0.05)
        for name in ('norm.weight', 'norm.bias', 'embed.weight', 'relative_position_bias_table'):
            assert found[f'{part}.{name}'] == (pytest.approx(lr), 0.0)
        assert f'{part}.frozen' not in found
    assert len(wrapper.optimizer.param_groups) == 4
    assert wrapper.optimizer.param_groups[0]['lr'] == 1e-4


def test_without_options_the_backbone_learns_at_the_full_rate() -> None:
    wrapper = build(Model())
    assert {group['lr'] for group in wrapper.optimizer.param_groups} == {1e-4}


@pytest.mark.parametrize('explicit', [{}, dict(fused=False), dict(foreach=True)])
def test_fused_unless_told_otherwise(explicit: dict) -> None:
    model = Model()
    wrapper = build(model, optimizer={**CFG['optimizer'], **explicit})
    assert bool(wrapper.optimizer.defaults['fused']) is (not explicit)
    sum(p.square().sum() + p.sum() for p in model.parameters()).backward()
    before = model.neck.fc.weight.clone()
    wrapper.step()
    assert not torch.equal(before, model.neck.fc.weight)


def test_other_optimizers_are_built_as_they_are() -> None:
    wrapper = build(Model(), optimizer=dict(type='SGD', lr=0.1, weight_decay=0.0))
    assert isinstance(wrapper.optimizer, torch.optim.SGD)


MUON = dict(type='Muon', lr=0.01, weight_decay=0.0)


def test_muon_orthogonalises_the_updates_of_matrices_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 8), nn.LayerNorm(8), nn.Embedding(8, 16))
    wrapper = build(model, optimizer=MUON)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    sum((p * torch.randn_like(p)).sum() for p in model.parameters()).backward()
    wrapper.optimizer.step()
    matrix, bias, *_, embedding = [new.detach() - old for new, old in
                                   zip(model.parameters(), before, strict=True)]
    singular = torch.linalg.svdvals(matrix)
    assert singular.max() / singular.min() < 1.7  # of the gradient it is above 3
    # The first step of AdamW is the sign of the gradient.
    assert torch.allclose(bias.abs(), torch.tensor(0.01), rtol=1e-3)
    assert torch.allclose(embedding.abs(), torch.tensor(0.01), rtol=1e-3)


def test_muon_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    def step(model: nn.Module, wrapper: OptimWrapper, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        wrapper.step()

    first, second = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last)
    old, new = build(first, optimizer=MUON), build(second, optimizer=MUON)
    step(first, old, seed=0)
    torch.save([first.state_dict(), old.state_dict()], tmp_path / 'checkpoint.pth')
    weights, states = torch.load(tmp_path / 'checkpoint.pth', weights_only=True)
    second.load_state_dict(weights)
    new.load_state_dict(states)
    step(first, old, seed=1)
    step(second, new, seed=1)
    assert torch.allclose(first.weight, second.weight, atol=1e-6)


def test_muon_is_exact_on_the_cpu() -> None:
    """float32, whatever the processor; and timm is left as it was."""
    torch.manual_seed(0)
    matrix = nn.Parameter(torch.randn(64, 32))
    before, matrix.grad = matrix.detach().clone(), torch.randn(64, 32)
    expected = timm_muon.zeropower_via_newtonschulz(
        matrix.grad, 5, timm_muon.resolve_ns_coefficients('quintic', timm_muon._COEFFICIENTS),
        dtype=torch.float32) * 0.01 * 0.2 * 64 ** 0.5
    original = timm_muon.zeropower_via_newtonschulz
    Muon([matrix], lr=0.01).step()
    assert torch.allclose(before - matrix, expected, atol=1e-6)
    assert timm_muon.zeropower_via_newtonschulz is original


def test_bad_options_are_named() -> None:
    with pytest.raises(ValueError, match='backbone_mult.*backbone_lr_mult'):
        GroupedOptimWrapperConstructor(CFG, dict(backbone_mult=0.1))
    with pytest.raises(ValueError, match='lacks weight_decay'):
        GroupedOptimWrapperConstructor(dict(optimizer=dict(type='AdamW', lr=1.0)))


def test_components_say_what_is_not_decayed() -> None:
    class Gated(nn.Module):
        undecayed = ('gamma', 'inner')

        def __init__(self) -> None:
            super().__init__()
            self.gamma = nn.Parameter(torch.zeros(1))
            self.inner = nn.Linear(2, 2)
            self.outer = nn.Linear(2, 2)

    model = nn.Sequential(nn.Linear(2, 2), Gated())
    found = settings(model, build(model))
    assert {name for name, (_, decay) in found.items() if not decay} == {
        '1.gamma', '1.inner.weight', '1.inner.bias'}


def test_custom_keys() -> None:
    model = Model()
    found = settings(model, build(model, paramwise_cfg=dict(
        backbone_lr_mult=0.1, norm_decay_mult=0.5, custom_keys={
            'fc': dict(lr_mult=2.0), 'neck.fc.bias': dict(decay_mult=0.0),
            'backbone.embed': dict(decay_mult=1.0)})))
    wanted = {
        'backbone.fc.weight': (2e-4, 0.05), 'neck.fc.weight': (2e-4, 0.05),
        'neck.fc.bias': (2e-4, 0.0), 'backbone.embed.weight': (1e-5, 0.05),
        'neck.embed.weight': (1e-4, 0.0), 'neck.norm.bias': (1e-4, 0.025),
        'backbone.norm.bias': (1e-5, 0.025), 'backbone.level_embed': (1e-5, 0.05)}
    assert {name: found[name] for name in wanted} == {
        name: pytest.approx(both) for name, both in wanted.items()}


def test_the_recipe_of_semask_fpn_can_be_stated() -> None:
    """Not decayed: names with ``norm`` or of position tables. A BN called ``bn`` is decayed."""
    model = nn.ModuleDict(dict(
        backbone=nn.ModuleDict(dict(semantic_norm1=nn.LayerNorm(2), fc=nn.Linear(2, 2))),
        head=nn.ModuleDict(dict(bn=nn.BatchNorm2d(2), conv=nn.Conv2d(2, 2, 1)))))
    model.backbone.relative_position_bias_table = nn.Parameter(torch.zeros(2))
    found = settings(model, build(model, paramwise_cfg=dict(
        norm_decay_mult=1.0, custom_keys={'norm': dict(decay_mult=0.0)})))
    assert {name for name, (_, decay) in found.items() if not decay} == {
        'backbone.semantic_norm1.weight', 'backbone.semantic_norm1.bias',
        'backbone.relative_position_bias_table'}
    assert {lr for lr, _ in found.values()} == {1e-4}


@pytest.mark.parametrize(('keys', 'message'), [
    ({'fc': dict(lr=1.0)}, "custom_keys\\['fc'\\]: unknown \\['lr'\\].*lr_mult"),
    ({'bakbone': dict(lr_mult=0.1)}, "'bakbone' occurs in no parameter name"),
])
def test_bad_custom_keys_are_named(keys: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(Model(), paramwise_cfg=dict(custom_keys=keys))


@pytest.fixture(scope='module')
def published(goldens: Path) -> dict:
    return json.loads((goldens / 'optimizer_and_schedule.json').read_text())


def our_name(official: str, parameters: dict) -> str:
    """Name of an official parameter here; the converter may supply others along with it."""
    shape = [4] if '.downsample.' in official else [1]  # patch merging has four pixels
    names = convert_state_dict({official: torch.empty(shape, device='meta')}, 'detectron2')
    (name,) = set(names) & set(parameters)
    return name


@pytest.mark.parametrize('case', CASES)
def test_every_parameter_is_optimised_as_published(case: str, published: dict, repo: Path) -> None:
    cfg = Config.fromfile(repo / 'configs' / CASES[case])
    model = MODELS.build(cfg.model)
    wrapper_cfg = {**cfg.optim_wrapper, 'type': 'OptimWrapper'}
    for key in ('dtype', 'loss_scale'):
        wrapper_cfg.pop(key, None)
    wrapper = build_optim_wrapper(model, wrapper_cfg)
    parameters = dict(model.named_parameters())
    expected = {}
    for group, names in published[case]['groups'].items():
        lr, decay = (float(part.split('=')[1]) for part in group.split())
        for official in names:
            expected[our_name(official, parameters)] = (
                pytest.approx(lr), pytest.approx(decay))
    assert settings(model, wrapper) == expected
    assert wrapper.clip_grad_kwargs['max_norm'] == published[case]['clip_norm']
    defaults = wrapper.optimizer.defaults
    assert list(defaults['betas']) == published[case]['betas']
    assert defaults['eps'] == published[case]['eps']
    assert len(wrapper.optimizer.param_groups) <= 4


def rates(file: str, repo: Path, *, iterations: set[int]) -> dict[int, float]:
    """Base learning rate that is used in the given iterations."""
    cfg = Config.fromfile(repo / 'configs' / file)
    base = cfg.optim_wrapper.optimizer.lr
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=base)
    options = dict(optimizer=optimizer, end=cfg.train_cfg.max_iters)  # as the runner gives them
    schedulers = [PARAM_SCHEDULERS.build(scheduler, default_args=options)
                  for scheduler in cfg.param_scheduler]
    found = {}
    for iteration in range(max(iterations) + 1):
        if iteration in iterations:
            found[iteration] = optimizer.param_groups[0]['lr']
        for scheduler in schedulers:
            scheduler.step()
    return found


@pytest.mark.parametrize('case', CASES)
def test_schedule_equals_the_published_one(case: str, published: dict, repo: Path) -> None:
    wanted = {int(number): value
              for number, value in published[case]['base_lr_at_iteration'].items()}
    assert rates(CASES[case], repo, iterations=set(wanted)) == pytest.approx(wanted, rel=1e-9)


def test_warm_up_multiplies_the_decay(repo: Path) -> None:
    found = rates('maskformer/swin-t_8xb2_ade20k.py', repo,
                  iterations={0, 1, 750, 1499, 1500, 1501, 40000})
    for iteration, rate in found.items():
        share = min(iteration / 1500, 1.0)
        decay = math.pow(1 - iteration / 160000, 0.9)
        assert rate == pytest.approx(6e-5 * (1e-6 * (1 - share) + share) * decay, rel=1e-9)


LAYOUTS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize('weights', LAYOUTS)
@pytest.mark.parametrize('gradients', LAYOUTS)
def test_adamw_takes_any_layout(weights: torch.memory_format,
                                gradients: torch.memory_format) -> None:
    torch.manual_seed(0)
    start, steps = torch.randn(8, 4, 3, 3), torch.randn(4, 8, 4, 3, 3)

    def train(build, layout: torch.memory_format, interrupted: bool) -> torch.Tensor:
        weight = nn.Parameter(start.clone(memory_format=layout))
        bias = nn.Parameter(torch.zeros(3))
        optimizer = build([weight, bias], lr=0.1)
        for gradient in steps:
            weight.grad, bias.grad = gradient.clone(memory_format=gradients), torch.ones(3)
            optimizer.step()
            if interrupted:
                state = optimizer.state_dict()
                for values in state['state'].values():
                    values['exp_avg'] = values['exp_avg'].contiguous()
                optimizer = build([weight, bias], lr=0.1)
                optimizer.load_state_dict(state)
        assert weight.is_contiguous(memory_format=layout) and weight.shape == start.shape
        return weight.detach()

    expected = train(partial(torch.optim.AdamW, fused=False), LAYOUTS[0], False)
    for interrupted in (False, True):
        found = train(partial(AnyLayoutAdamW, fused=True), weights, interrupted)
        torch.testing.assert_close(found, expected, check_stride=False)


def test_adamw_is_the_one_for_any_layout() -> None:
    wrapper = build(Model())
    assert type(wrapper.optimizer) is AnyLayoutAdamW and wrapper.optimizer.defaults['fused']
    slow = dict(type='AdamW', lr=1e-4, weight_decay=0.05, foreach=True)
    assert type(build(Model(), optimizer=slow).optimizer) is torch.optim.AdamW
