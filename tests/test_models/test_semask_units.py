"""SeMask's parts alone: the published numbers, forward and backward, and the variants."""

from __future__ import annotations

import copy
import logging
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from semask_tools import load_fill
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from unimask.convert import PretrainedBackbone
from unimask.convert.backbones import backbone_as_in
from unimask.errors import UserError
from unimask.models.backbones import SeMaskEncoder
from unimask.models.heads import SemanticPriorHead
from unimask.models.layers import SemanticLayer
from unimask.models.necks import SemanticFPNPixelDecoder
from unimask.ops import unscaled_attention
from unimask.registry import MODELS
from unimask.structures import BackboneFeatures

UNITS = ['sem_window', 'sem_window_exact', 'sem_window2', 'sem_global', 'sem_global2']
NAMES = {'norm1': 'norm', 'class_injection': 'blocks', 'mlp_cls_q': 'query', 'mlp_cls_k': 'key',
         'mlp_v': 'value', 'mlp_res': 'output'}
SWIN = dict(type='mmdet.SwinTransformer', embed_dims=8, depths=(1, 1, 1, 1),
            num_heads=(1, 2, 2, 4), window_size=4, drop_path_rate=0.0)


@pytest.fixture(scope='module')
def folder(goldens: Path) -> Path:
    path = goldens / 'semask'
    if not path.exists():
        pytest.skip('the optional test data reference/goldens/semask is not here')
    return path


def draw(key: str, shape: tuple[int, ...]) -> Tensor:
    rng = np.random.default_rng(zlib.crc32(f'unit/{key}'.encode()))
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def our_name(official: str) -> str:
    return '.'.join(NAMES.get(part, part) for part in official.split('.'))


@pytest.mark.parametrize('tag', UNITS)
def test_the_layer_equals_the_published_one(tag: str, folder: Path) -> None:
    fill = load_fill(folder)
    info, arrays = fill.load_case(str(folder), 'unit_blocks')
    unit = info['units'][tag]
    layer = SemanticLayer(
        unit['dim'], unit['num_classes'], blocks=unit['num_sem_blocks'],
        window=None if 'global' in tag else unit['window']).eval()
    names = {name.removeprefix(f'{tag}.'): our_name(name.removeprefix(f'{tag}.'))
             for name, _ in unit['state_dict']}
    layer.load_state_dict({
        names[name.removeprefix(f'{tag}.')]: torch.from_numpy(fill.fill(name, shape))
        for name, shape in unit['state_dict']})
    size = (unit['batch'], unit['H'], unit['W'])
    x = draw(f'{tag}/x', (size[0], size[1] * size[2], unit['dim'])).requires_grad_()
    semantic, out = layer(x.view(*size, -1))
    # The published layer hands its scores on as tokens.
    tokens = dict(sem=semantic.flatten(1, 2), out=out.flatten(1, 2))
    gradients = [draw(f'{tag}/{key}', tokens[name].shape) for name, key in
                 (('sem', 'gs'), ('out', 'go'))]
    torch.autograd.backward([tokens['sem'], tokens['out']], gradients)
    parameters = dict(layer.named_parameters())
    found = {f'{tag}.{name}': value for name, value in tokens.items()} | {
        f'{tag}.grad_x': x.grad} | {
        f'{tag}.grad.{official}': parameters[name].grad for official, name in names.items()}
    assert set(found) == {name for name in fill.names(arrays) if name.startswith(f'{tag}.')}
    for name, value in found.items():
        allowed = 1e-3 if name.endswith('mlp_cls_k.bias') else 1e-5
        assert max(fill.compare(arrays, name, value.detach().numpy())) <= allowed, name


@pytest.mark.parametrize(('tag', 'key'), [
    ('merge_align_corners_true', 'merge'), ('merge_odd_align_corners_true', 'merge_odd')])
def test_merging_equals_the_published_one(tag: str, key: str, folder: Path) -> None:
    fill = load_fill(folder)
    info, arrays = fill.load_case(str(folder), 'unit_blocks')
    shapes = info['units'][tag]['shapes']
    maps = tuple(draw(f'{key}/x{stage}', shape) for stage, shape in enumerate(shapes))
    for align_corners in (True, False):
        head = SemanticPriorHead(num_classes=3, align_corners=align_corners)
        (merged,) = head(BackboneFeatures((), maps)).logits
        # Published, the sum is resized to the image in the head; here the loss does it.
        merged = torch.nn.functional.interpolate(
            merged, scale_factor=4, mode='bilinear', align_corners=True)
        error = max(fill.compare(arrays, f'{tag}.pred', merged.numpy()))
        assert error < 1e-5 if align_corners else error > 0.1


@pytest.mark.parametrize('window', [None, 3])
def test_attention_in_plain_words(window: int | None) -> None:
    """One token after the other, with the weights of the published equation."""
    layer = SemanticLayer(6, 4, window=window).double().eval()
    torch.nn.init.constant_(layer.blocks[0].gamma, 0.7)
    x = torch.randn(1, 5, 4, 6, dtype=torch.float64)
    semantic, out = layer(x)
    block, normed = layer.blocks[0], torch.zeros(6, 6, 6, dtype=torch.float64)
    normed[:5, :4] = layer.norm(x)[0]
    for row in range(5):
        for column in range(4):
            if window is None:
                others = normed[:5, :4].reshape(-1, 6)
            else:
                top, left = row // 3 * 3, column // 3 * 3
                others = normed[top:top + 3, left:left + 3].reshape(-1, 6)
            scores = block.query(normed[row, column])
            weights = (block.key(others) @ scores).softmax(0)
            wanted = 0.7 * block.output(weights @ block.value(others)) + normed[row, column]
            torch.testing.assert_close(semantic[0, row, column], scores)
            torch.testing.assert_close(out[0, row, column], wanted)


@pytest.mark.parametrize('trunk_norm', [True, False])
def test_what_goes_on_is_normalised_unless_it_is_asked_not_to_be(trunk_norm: bool) -> None:
    layer = SemanticLayer(6, 4, window=3, blocks=2, trunk_norm=trunk_norm).double().eval()
    x = 5 + 3 * torch.randn(1, 5, 4, 6, dtype=torch.float64)
    trunk = layer.norm(x) if trunk_norm else x
    torch.testing.assert_close(layer(x)[1], trunk, rtol=0, atol=0)  # the gates are closed
    for block in layer.blocks:
        torch.nn.init.constant_(block.gamma, 0.7)
    other = SemanticLayer(6, 4, window=3, blocks=2, trunk_norm=not trunk_norm).double().eval()
    other.load_state_dict(layer.state_dict())
    added = layer(x)[1] - trunk
    assert added.abs().max() > 1e-3
    torch.testing.assert_close(added, other(x)[1] - (x if trunk_norm else layer.norm(x)))
    torch.testing.assert_close(layer(x)[0], other(x)[0])


def test_without_that_norm_an_encoder_starts_as_it_was() -> None:
    encoder = MODELS.build(dict(type='SeMaskEncoder', encoder=SWIN, num_classes=3,
                                trunk_norm=False)).eval()
    images = torch.randn(1, 3, 64, 96)
    for one, two in zip(encoder(images).maps, _undecorated(encoder, images), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize(('init', 'learns'), [('trunc_normal', True), ('zero_res', False)])
def test_the_residual_learns_unless_it_is_asked_not_to(init: str, learns: bool) -> None:
    layer = SemanticLayer(12, 5, window=4, init=init)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=1e-2)
    block = layer.blocks[0]
    for _ in range(3):
        semantic, out = layer(torch.randn(2, 8, 8, 12))
        optimiser.zero_grad()
        (semantic.square().mean() + (out - 1).square().mean()).backward()
        assert (block.gamma.grad.abs().item() > 0) is learns
        optimiser.step()
    assert bool(block.gamma != 0) is learns
    assert bool((block.output.weight != 0).any()) is learns
    assert block.query.weight.grad.abs().sum() > 0  # through the scores alone


def test_a_residual_that_cannot_learn_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    monkeypatch.setattr('unimask.models.backbones.semask.print_log',
                        lambda text, logger, level: said.append((text, level)))
    MODELS.build(dict(type='SeMaskEncoder', encoder=SWIN, num_classes=3))
    assert not said
    MODELS.build(dict(type='SeMaskEncoder', encoder=SWIN, num_classes=3,
                      semantic_init='zero_res'))
    ((text, level),) = said
    assert level == logging.WARNING and 'never gets a gradient' in text


def test_chunks_of_queries_give_the_same_numbers() -> None:
    tensors = [torch.randn(3, 50, width, requires_grad=True) for width in (7, 7, 9)]
    weights = torch.randn(3, 50, 9)
    results = []
    for limit in (3 * 50 * 50, 3 * 50 * 8, 1):
        out = unscaled_attention(*tensors, limit=limit)
        results.append([out, *torch.autograd.grad((out * weights).sum(), tensors)])
    plain = ((tensors[0] @ tensors[1].mT).softmax(-1) @ tensors[2])
    torch.testing.assert_close(results[0][0], plain)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two)


class Largest(TorchDispatchMode):
    """The largest tensor, in numbers, that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func: object, types: object, args: tuple = (),
                           kwargs: dict | None = None) -> object:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else (result,):
            if isinstance(each, Tensor):
                self.size = max(self.size, each.numel())
        return result


def test_memory_of_a_whole_map_is_bounded() -> None:
    """A map of 512 tokens, in chunks and at once, forwards and backwards."""
    tensors = [torch.randn(1, 512, width, requires_grad=True) for width in (11, 11, 24)]
    sizes = []
    for limit in (2**16, 2**62):
        with Largest() as largest:
            unscaled_attention(*tensors, limit=limit).sum().backward()
        sizes.append(largest.size)
    assert sizes == [2**16, 512**2]


def test_half_precision_is_computed_in_float32() -> None:
    """Products far above what float16 holds; a token's scores fit none but its own."""
    query = (torch.eye(8) * 4096).half()[None]
    value = torch.randn(1, 8, 8, dtype=torch.float16)
    out = unscaled_attention(query, query, value)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out, value)
    tensors = [torch.randn(2, 30, width) for width in (20, 20, 6)]
    wanted = unscaled_attention(*tensors)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(unscaled_attention(*tensors), wanted, rtol=0, atol=0)


ENCODERS = {
    'swin': SWIN,
    'swin-two-maps': dict(SWIN, out_indices=(1, 3)),
    'mmseg-swin': dict(SWIN, type='mmseg.SwinTransformer'),
    'mit': dict(type='mmseg.MixVisionTransformer', embed_dims=8, num_layers=(1, 1, 1, 1),
                num_heads=(1, 2, 4, 4)),
    'resnet': dict(type='mmdet.ResNet', depth=18, base_channels=8, frozen_stages=1),
    'timm-resnet': dict(type='TimmBackbone', model_name='resnet10t'),
    'timm-convnext': dict(type='TimmBackbone', model_name='convnext_atto'),
    'timm-pvt': dict(type='TimmBackbone', model_name='pvt_v2_b0'),
    'timm-efficientnet': dict(type='TimmBackbone', model_name='tf_efficientnet_lite0'),
    'timm-swin': dict(type='TimmBackbone', model_name='swin_tiny_patch4_window7_224'),
    'swin-of-timm': dict(SWIN, type='TimmSwin'),
}


@pytest.fixture(scope='module', params=ENCODERS, ids=list(ENCODERS))
def decorated(request: pytest.FixtureRequest) -> SeMaskEncoder:
    torch.manual_seed(0)
    encoder = MODELS.build(dict(type='SeMaskEncoder', encoder=ENCODERS[request.param],
                                num_classes=3, windows=(4, 3, None, 2)))
    with torch.no_grad():
        for layer in encoder.semantic_layers:
            layer.blocks[0].gamma.fill_(1)
    return encoder.eval()


def test_any_encoder_with_stages(decorated: SeMaskEncoder) -> None:
    """Maps as without semantic layers, scores at every stage, gradients everywhere."""
    images = torch.randn(2, 3, 64, 96)
    features = decorated(images)
    assert [tuple(each.shape) for each in features.semantic] == [
        (2, 3, 16, 24), (2, 3, 8, 12), (2, 3, 4, 6), (2, 3, 2, 3)]
    plain = _undecorated(decorated, images)
    assert [each.shape for each in features.maps] == [each.shape for each in plain]
    assert decorated.out_channels == tuple(each.shape[1] for each in plain)
    sum(each.square().sum() for each in (*features.maps, *features.semantic)).backward()
    assert all(p.grad is not None for p in decorated.parameters() if p.requires_grad)


def test_swin_of_timm_is_decorated_like_the_other() -> None:
    torch.manual_seed(0)
    theirs, ours = (MODELS.build(dict(type='SeMaskEncoder', encoder=ENCODERS[name], num_classes=3,
                                      windows=(4, 3, None, 2)))
                    for name in ('swin', 'swin-of-timm'))
    for each in (theirs, ours):
        each.eval()
    with torch.no_grad():
        for layer in theirs.semantic_layers:
            layer.blocks[0].gamma.fill_(1)
    ours.load_state_dict(backbone_as_in(ours.state_dict().keys(), theirs.state_dict()))
    images = torch.randn(2, 3, 50, 96)
    with torch.no_grad():
        for pair in zip(theirs(images).semantic, ours(images).semantic, strict=True):
            torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-4)


def _undecorated(decorated: SeMaskEncoder, images: Tensor) -> list[Tensor]:
    """What the encoder gives without hooks."""
    plain = copy.deepcopy(decorated.encoder)
    for module in plain.modules():
        module._forward_hooks.clear()
    with torch.no_grad():
        return list(plain(images))


def test_a_layer_acts_between_its_stage_and_the_next(decorated: SeMaskEncoder) -> None:
    """What stage 2 adds is seen in the maps and scores of stages 2 and 3, and in no other."""
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        before = decorated(images)
        decorated.semantic_layers[2].norm.bias.add_(torch.randn_like(
            decorated.semantic_layers[2].norm.bias))
        after = decorated(images)
    changed = [not torch.equal(*pair) for pair in zip(before.semantic, after.semantic,
                                                      strict=True)]
    assert changed == [False, False, True, True]
    changed = [not torch.equal(*pair) for pair in zip(before.maps, after.maps, strict=True)]
    assert changed == [False, False, True, True][-len(changed):] or changed == [False, True]


def test_a_copy_has_its_own_layers(decorated: SeMaskEncoder) -> None:
    images = torch.randn(1, 3, 64, 64)
    twin = copy.deepcopy(decorated)
    other = pickle.loads(pickle.dumps(decorated))
    with torch.no_grad():
        before = decorated(images)
        for model in (twin, other):
            for layer in model.semantic_layers:
                layer.norm.bias.add_(1)
            assert not torch.equal(model(images).semantic[0], before.semantic[0])
        for one, two in zip(before.semantic, decorated(images).semantic, strict=True):
            assert torch.equal(one, two)


def test_undecorated_weights_load(decorated: SeMaskEncoder) -> None:
    plain = {name: torch.randn_like(value) if value.is_floating_point() else value
             for name, value in decorated.encoder.state_dict().items()}
    twin = copy.deepcopy(decorated)
    result = twin.load_state_dict(plain, strict=False)
    assert {name.split('.')[0] for name in result.missing_keys} == {'semantic_layers'}
    assert not result.unexpected_keys
    for name, value in twin.encoder.state_dict().items():
        assert torch.equal(value, plain[name])


def test_pretrained_weights_load_into_the_undecorated_part(tmp_path: Path) -> None:
    plain = MODELS.build(SWIN)
    weights = {name: torch.randn_like(value) if value.is_floating_point() else value
               for name, value in plain.state_dict().items() if not name.startswith('norm')}
    torch.save(weights, tmp_path / 'swin.pth')
    encoder = MODELS.build(dict(type='SeMaskEncoder', encoder=SWIN, num_classes=3))
    load = PretrainedBackbone(str(tmp_path / 'swin.pth'), source='timm')
    load(encoder)
    own = encoder.encoder.state_dict()
    assert all(torch.equal(own[name], value) for name, value in weights.items())
    wider = MODELS.build(dict(type='SeMaskEncoder', encoder=dict(SWIN, embed_dims=16),
                              num_classes=3))
    with pytest.raises(UserError, match=r'swin\.pth does not fit SeMaskEncoder'):
        load(wider)
    del weights['stages.0.blocks.0.norm1.weight']
    torch.save(weights, tmp_path / 'swin.pth')
    with pytest.raises(UserError, match=r'no weights for 1 .*encoder.stages.0.blocks.0.norm1'):
        load(encoder)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(encoder=dict(type='mmdet.HourglassNet', downsample_times=2, stage_channels=(8, 8, 8),
                       stage_blocks=(1, 1, 1), feat_channel=8)), 'HourglassNet has none'),
    (dict(windows=(7, 7)), r'model.backbone.windows needs one value for each of the 4 stages'),
    (dict(windows=7), r'model.backbone.windows .* not 7'),
    (dict(blocks=(1,) * 5), r'model.backbone.blocks needs one value for each of the 4'),
    (dict(blocks=(1, 1, 0, 1)), 'at least 1 block'),
    (dict(windows=(0, 1, 1, 1)), 'windows of at least 1 token'),
    (dict(semantic_init='zero'), "one of trunc_normal, zero_res, not 'zero'"),
])
def test_mistakes_are_named(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        MODELS.build(dict(type='SeMaskEncoder', **{**dict(encoder=SWIN, num_classes=3),
                                                   **options}))


@pytest.mark.parametrize('name', ['SeMaskSwin', 'SeMaskMiT'])
def test_an_unknown_size_is_named(name: str) -> None:
    with pytest.raises(UserError, match="size must be one of .*, not 'huge'"):
        MODELS.build(dict(type=name, size='huge', num_classes=3, windows=(7, 7, None, None)))


@pytest.mark.parametrize(('semantic', 'message'), [
    ((), 'model.backbone makes none'), ((torch.zeros(1, 5, 4, 4),), 'scores 5 classes.*have 3')])
def test_a_prior_without_scores_is_explained(semantic: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SemanticPriorHead(num_classes=3)(BackboneFeatures((), semantic))


def test_semantic_fpn_is_the_sum_of_its_scales() -> None:
    neck = SemanticFPNPixelDecoder(in_channels=(4, 6, 8, 10), channels=5).eval()
    assert [len(scale) for scale in neck.scales] == [1, 1, 2, 3]
    maps = [torch.randn(1, width, size, size + 1)
            for width, size in zip((4, 6, 8, 10), (13, 7, 4, 2), strict=True)]
    pixels = neck(maps)
    assert pixels.mask_features.shape == (1, 5, 13, 14) and pixels.memory == ()
    alone = []
    for index in range(4):
        kept = [value if level == index else torch.zeros_like(value)
                for level, value in enumerate(maps)]
        alone.append(neck(kept).mask_features)
    zero = neck([torch.zeros_like(value) for value in maps]).mask_features
    torch.testing.assert_close(sum(alone) - 3 * zero, pixels.mask_features)
