"""Feature alignment: published numbers, shared norms, whole models, conversion, bad input."""

from __future__ import annotations

import importlib.util
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from test_models.test_segmentor import config
from torch import Tensor, nn

from unimask.convert import ConversionError, convert
from unimask.errors import UserError
from unimask.models.layers import FeatureAlignment, FeatureSelection
from unimask.registry import MODELS

PARTS = {'fusion.weight': 'offset.weight', 'conv.weight': 'dcpack_L2.weight',
         'conv.bias': 'dcpack_L2.bias', 'sampling.weight': 'dcpack_L2.conv_offset_mask.weight',
         'sampling.bias': 'dcpack_L2.conv_offset_mask.bias'}


@pytest.fixture(scope='module')
def units(goldens: Path) -> SimpleNamespace:
    """Recorded modules: their arrays and the tools that make inputs and compare."""
    folder = goldens / 'semask'
    if not (folder / 'unit_blocks.npz').exists():
        pytest.skip('the golden units of SeMask are not here')
    spec = importlib.util.spec_from_file_location('fill_semask', folder / 'fill_semask.py')
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    return SimpleNamespace(fill=fill.fill, compare=fill.compare,
                           arrays=np.load(folder / 'unit_blocks.npz'))


def drawn(key: str, shape: tuple[int, ...]) -> Tensor:
    rng = np.random.default_rng(zlib.crc32(f'unit/{key}'.encode()))
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32)).requires_grad_()


def load(module: nn.Module, names: dict[str, str], tag: str, fill: Callable) -> None:
    module.load_state_dict({
        ours: torch.from_numpy(fill(f'{tag}.{theirs}', module.state_dict()[ours].shape))
        for ours, theirs in names.items()})


@pytest.mark.parametrize('tag', ['fam', 'fam_resize'])
def test_alignment_equals_the_published_one(units: SimpleNamespace, tag: str) -> None:
    align, norm = FeatureAlignment(64), nn.GroupNorm(32, 64)
    load(align, PARTS, 'fam', units.fill)
    load(norm, {'weight': 'offset.norm.weight', 'bias': 'offset.norm.bias'}, 'fam', units.fill)
    finer = drawn('fam/l', (2, 64, 9, 11))
    coarse = (drawn('fam/s', (2, 64, 9, 11)) if tag == 'fam'
              else drawn('fam/s2', (2, 64, 5, 6)))
    upsampled = F.interpolate(coarse, (9, 11), mode='bilinear') if tag == 'fam_resize' else coarse
    out = align(finer, upsampled, norm=norm)
    (out * drawn('fam/g', (2, 64, 9, 11)).detach()).sum().backward()
    found = {f'{tag}.out': out, f'{tag}.grad_l': finer.grad, f'{tag}.grad_s': coarse.grad}
    parameters = {theirs: align.get_parameter(ours) for ours, theirs in PARTS.items()}
    parameters |= {'offset.norm.weight': norm.weight, 'offset.norm.bias': norm.bias}
    found |= {f'{tag}.grad.{name}': value.grad for name, value in parameters.items()}
    recorded = {name.removesuffix('__shape') for name in units.arrays
                if name.startswith(f'{tag}.') and name.endswith('__shape')}
    assert recorded <= found.keys() and len(recorded) >= 1
    for name in recorded:
        assert max(units.compare(units.arrays, name, found[name].detach())) < 3e-5, name


def test_selection_equals_the_published_one(units: SimpleNamespace) -> None:
    select = FeatureSelection(48, 64)
    load(select, {'importance.weight': 'conv_atten.weight', 'output.conv.weight': 'conv.weight',
                  'output.gn.weight': 'conv.norm.weight', 'output.gn.bias': 'conv.norm.bias'},
         'fsm', units.fill)
    out = select(drawn('fsm/x', (2, 48, 9, 11)))
    assert max(units.compare(units.arrays, 'fsm.out', out.detach())) < 1e-5


def decoder(kind: str, **settings: object) -> nn.Module:
    return MODELS.build(dict(dict(type=kind, in_channels=(8, 16, 24, 32), channels=32,
                                  mask_channels=32), **settings))


def test_selection_changes_the_laterals() -> None:
    plain, selecting = (decoder('FaPNPixelDecoder', selection=each) for each in (False, True))
    assert isinstance(selecting.lateral_convs[0], FeatureSelection)
    assert not isinstance(plain.lateral_convs[0], FeatureSelection)
    maps = [torch.randn(1, 8 * (i + 1), 33 // 2**i, 47 // 2**i) for i in range(4)]
    found = selecting(maps)
    assert [tuple(each.shape[2:]) for each in (*found.memory, found.mask_features)] == [
        tuple(each.shape[2:]) for each in maps[::-1]]


@pytest.mark.parametrize('kind', ['FaPNPixelDecoder', 'MSFaPNPixelDecoder'])
def test_the_norm_of_a_step_is_one_module(kind: str) -> None:
    """Both places train it: the gradient is the sum of both, the parameters count once."""
    module = decoder(kind)
    step = module.output_convs[0]
    seen = []
    handle = step.norm.register_forward_hook(lambda *_: seen.append(1))
    maps = [torch.randn(1, 8 * (i + 1), 32 // 2**i, 32 // 2**i) for i in range(4)]
    module(maps)
    handle.remove()
    assert len(seen) == 2
    assert not [name for name, _ in module.align.named_parameters() if 'norm' in name]


@pytest.mark.parametrize('kind', ['FaPNPixelDecoder', 'MSFaPNPixelDecoder'])
def test_parameters_of_the_published_decoders(kind: str) -> None:
    """Swin-L's widths: what the alignment adds to each published decoder without it."""
    widths = dict(in_channels=(192, 384, 768, 1536))
    plain = dict(FaPNPixelDecoder='FPNPixelDecoder', MSFaPNPixelDecoder='MSDeformAttnPixelDecoder')
    count, without = (sum(p.numel() for p in MODELS.build(dict(type=name, **widths)).parameters())
                      for name in (kind, plain[kind]))
    added = 512 * 256 + (256 * 9 + 1) * 256 + (256 * 9 + 1) * 216
    assert count - without == added * (3 if kind == 'FaPNPixelDecoder' else 1)
    if kind == 'MSFaPNPixelDecoder':  # trainable parameters of the two published models
        assert count - without == 223_851_415 - 222_632_383


def official(kind: str) -> dict[str, Tensor]:
    """A pixel decoder under the published names, and ours by the same seed."""
    state = decoder(kind).state_dict()
    named, aligned = {}, 3 if kind == 'FaPNPixelDecoder' else 1
    for level in range(4 if kind == 'FaPNPixelDecoder' else 1):
        here = f'layer_{level + 1}.'
        named[here + 'weight'] = state[f'output_convs.{level}.conv.weight']
        for part in ('weight', 'bias'):
            norm = state[f'output_convs.{level}.gn.{part}'] + level
            named[f'{here}norm.{part}'] = norm
            if level < aligned:
                named[f'align_{level + 1}.offset.norm.{part}'] = norm.clone()
        if level < aligned:
            named |= {f'align_{level + 1}.{theirs}': state[f'align.{level}.{ours}']
                      for ours, theirs in PARTS.items()}
    return {f'sem_seg_head.pixel_decoder.{name}': value for name, value in named.items()}


@pytest.mark.parametrize('kind', ['FaPNPixelDecoder', 'MSFaPNPixelDecoder'])
def test_conversion(kind: str) -> None:
    source = official(kind)
    made = convert(source, 'detectron2').state_dict
    expected = {f'neck.{name}' for name in decoder(kind).state_dict()
                if name.startswith(('align.', 'output_convs.'))}
    assert made.keys() == expected
    assert torch.equal(made['neck.align.0.sampling.bias'],
                       source['sem_seg_head.pixel_decoder.align_1.'
                              'dcpack_L2.conv_offset_mask.bias'])
    source['sem_seg_head.pixel_decoder.align_1.offset.norm.bias'] += 1
    with pytest.raises(ConversionError, match='published models share it'):
        convert(source, 'detectron2')


def test_the_published_file_converts_whole(goldens: Path) -> None:
    """Every name of the pixel decoder and of the head is known and lands in our model."""
    file = goldens / 'semask/fapn_m2f_swin_l_ade.json'
    if not file.exists():
        pytest.skip('the golden model of SeMask with FaPN is not here')
    source = {name: torch.empty(shape, device='meta')
              for name, shape, *_ in json.loads(file.read_text())['state_dict']
              if name.startswith('sem_seg_head.')}
    made = convert(source, 'detectron2').state_dict
    with torch.device('meta'):
        neck = MODELS.build(dict(type='FaPNPixelDecoder', in_channels=(192, 384, 768, 1536)))
    assert {name: value.shape for name, value in made.items() if name.startswith('neck.')} == {
        f'neck.{name}': value.shape for name, value in neck.state_dict().items()}


HEADS = {
    'Mask2FormerHead': {},
    'MaskFormerHead': dict(head=dict(type='MaskFormerHead', channels=32, num_queries=6,
                                     num_layers=2, num_heads=2, ffn_channels=32)),
}


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('kind', ['FaPNPixelDecoder', 'MSFaPNPixelDecoder'])
def test_a_step_of_training(kind: str, head: str) -> None:
    settings = dict(type=kind, channels=32, mask_channels=32)
    if kind == 'MSFaPNPixelDecoder':
        settings |= dict(num_layers=1, num_heads=2, ffn_channels=32)
    model = MODELS.build(config(neck=settings, **HEADS[head])).train()
    sample = DetDataSample(gt_sem_seg=PixelData(sem_seg=torch.randint(3, (1, 64, 96))))
    inputs = torch.randn(1, 3, 64, 96)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    totals = []
    for _ in range(4):
        total = sum(model(inputs, [sample], mode='loss').values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert np.isfinite(totals).all() and totals[-1] < totals[0]
    for align in model.neck.align:
        assert align.sampling.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(('settings', 'hint'), [
    (dict(type='FaPNPixelDecoder', in_channels=(8, 16)), 'num_levels=3 .* the backbone returns 2'),
    (dict(type='FaPNPixelDecoder', num_levels=0), 'at least 1'),
    (dict(type='FaPNPixelDecoder', align_groups=5), 'align_groups=5 does not divide channels=32'),
    (dict(type='MSFaPNPixelDecoder', in_channels=(8, 16)), 'num_levels=3 needs'),
    (dict(type='MSFaPNPixelDecoder', num_levels=4), 'none is left: lower num_levels'),
])
def test_bad_input(settings: dict, hint: str) -> None:
    settings = dict(settings)
    with pytest.raises(UserError, match=hint):
        decoder(settings.pop('type'), **settings)
