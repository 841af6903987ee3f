"""Heads and pixel decoders, rebuilt from their state dicts with plain functions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import plain
import pytest
import torch
from door import MaskPrediction, PixelFeatures, build, plain_weights, shaken, to_numpy
from plain import Weights, part
from torch import Tensor, nn

CLOSE = dict(rtol=2e-4, atol=2e-4)
HEADS = 2


def norm_and_predict(query: np.ndarray, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    normed = plain.layer_norm(query, part(weights, 'decoder_norm'))
    return (plain.linear(normed, part(weights, 'class_embed')),
            plain.mlp(normed, part(weights, 'mask_embed')))


def projected(memory: np.ndarray, weights: Weights) -> np.ndarray:
    """Through the 1x1 convolution, if there is one."""
    return plain.convolution(memory, weights) if weights else memory


def masked_decoder(weights: Weights, features: np.ndarray, memory: list[np.ndarray],
                   num_layers: int) -> tuple[list, list[int]]:
    """Predictions of Mask2Former's decoder for one image, and how many rows were unblocked."""
    query, position = weights['query_feat.weight'], weights['query_embed.weight']
    predictions, unblocked = [norm_and_predict(query, weights)], []
    for index in range(num_layers):
        level = index % len(memory)
        maps = projected(memory[level], part(weights, f'input_proj.{level}'))
        value = plain.tokens(maps) + weights['level_embed.weight'][level]
        key = value + plain.sine_position(*maps.shape[1:], maps.shape[0])
        masks = np.einsum('qc,chw->qhw', predictions[-1][1], features)
        small = plain.each(plain.resize_bilinear, masks, maps.shape[1:])
        visible = plain.sigmoid(small).reshape(len(query), -1) >= 0.5
        nothing = ~visible.any(1)
        visible[nothing] = True
        unblocked.append(int(nothing.sum()))
        own = part(weights, f'layers.{index}')
        query = plain.cross_step(query, position, own, key=key, value=value, heads=HEADS,
                                 visible=visible)
        query = plain.self_step(query, position, own, heads=HEADS)
        query = plain.last_step(query, own)
        predictions.append(norm_and_predict(query, weights))
    return predictions, unblocked


def plain_decoder(weights: Weights, memory: np.ndarray, num_layers: int) -> list:
    """Predictions of MaskFormer's decoder for one image."""
    maps = projected(memory, part(weights, 'input_proj'))
    value = plain.tokens(maps)
    key = value + plain.sine_position(*maps.shape[1:], maps.shape[0])
    position = weights['query_embed.weight']
    query, predictions = np.zeros_like(position), []
    for index in range(num_layers):
        own = part(weights, f'layers.{index}')
        query = plain.self_step(query, position, own, heads=HEADS)
        query = plain.cross_step(query, position, own, key=key, value=value, heads=HEADS)
        query = plain.last_step(query, own)
        predictions.append(norm_and_predict(query, weights))
    return predictions


def check_prediction(found: MaskPrediction, images: list[list], features: Tensor) -> None:
    classes = np.stack([[pair[0] for pair in image] for image in images], 1)
    embeddings = np.stack([[pair[1] for pair in image] for image in images], 1)
    np.testing.assert_allclose(to_numpy(found.class_logits), classes, **CLOSE)
    np.testing.assert_allclose(to_numpy(found.mask_embeddings), embeddings, **CLOSE)
    assert torch.equal(found.mask_features, features)
    assert found.class_logits.shape[-1] == 3 + 1 and found.num_classes == 3
    for layer in (0, -1):
        masks = np.einsum('bqc,bchw->bqhw', embeddings[layer], to_numpy(features))
        np.testing.assert_allclose(to_numpy(found.mask_logits(layer)), masks, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found.mask_logits().detach(), found.mask_logits(-1).detach())


def head(kind: str, memory_channels: tuple[int, ...], num_layers: int) -> nn.Module:
    return shaken(build(dict(
        type=kind, num_classes=3, memory_channels=memory_channels, mask_channels=6, channels=8,
        num_queries=5, num_layers=num_layers, num_heads=HEADS, ffn_channels=10)))


def test_mask2former_head() -> None:
    """Five layers, so that the levels come round again; one level needs a projection."""
    module = head('Mask2FormerHead', (8, 8, 4), 5)
    with torch.no_grad():  # masks that lie on both sides of zero, one of them nowhere above
        module.mask_embed.layers[-1].bias[0] = -0.3
    weights = plain_weights(module)
    features = torch.randn(2, 6, 8, 12)
    features[:, 0] += 0.5
    features[1, 0] += 4
    memory = (torch.randn(2, 8, 2, 3), torch.randn(2, 8, 4, 6), torch.randn(2, 4, 7, 9))
    found = module(PixelFeatures(features, memory))
    made = [masked_decoder(weights, to_numpy(features[i]), [to_numpy(m[i]) for m in memory], 5)
            for i in range(2)]
    check_prediction(found, [predictions for predictions, _ in made], features)
    unblocked = [count for _, counts in made for count in counts]
    assert 0 < sum(unblocked) < 2 * 5 * 5, 'the full-row rule must matter for some rows only'


@pytest.mark.parametrize('channels', [8, 4])
def test_maskformer_head(channels: int) -> None:
    module = head('MaskFormerHead', (channels,), 3)
    weights, features = plain_weights(module), torch.randn(2, 6, 8, 12)
    memory = torch.randn(2, channels, 2, 3)
    found = module(PixelFeatures(features, (memory,)))
    check_prediction(found, [plain_decoder(weights, to_numpy(own), 3) for own in memory], features)


def test_gradients_pass_no_mask() -> None:
    """What a query may see is decided without gradient: features get theirs by masks alone."""
    module = head('Mask2FormerHead', (8,), 2)
    features = torch.randn(1, 6, 4, 4, requires_grad=True)
    found = module(PixelFeatures(features, (torch.randn(1, 8, 4, 4),)))
    found.class_logits.sum().backward()
    assert features.grad is None


def test_per_pixel_head() -> None:
    module = shaken(build(dict(type='PerPixelHead', num_classes=3, mask_channels=6)))
    features = torch.randn(2, 6, 4, 5)
    found = module(PixelFeatures(features, ()))
    np.testing.assert_allclose(to_numpy(found.logits), [[
        plain.convolution(own, part(plain_weights(module), 'classifier'))
        for own in to_numpy(features)]], **CLOSE)


# ---------------------------------------------------------------------------------- pixel decoders

CHANNELS = (4, 6, 8, 10)  # fine to coarse
SIZES = ((9, 12), (5, 6), (3, 3), (2, 2))


def backbone_maps() -> list[Tensor]:
    return [torch.randn(2, width, *size) for width, size in zip(CHANNELS, SIZES, strict=True)]


def top_down(x: np.ndarray, maps: list[np.ndarray], weights: Weights, resize: Callable
             ) -> np.ndarray:
    """Lateral maps are added from coarse to fine, a 3x3 convolution after each."""
    for level in reversed(range(len(maps))):
        lateral = plain.conv_norm(maps[level], part(weights, f'lateral_convs.{level}'),
                                  active=False)
        x = lateral + plain.each(resize, x, lateral.shape[1:])
        if align := part(weights, f'align.{level}'):
            x = plain.aligned(lateral, x, align, part(weights, f'output_convs.{level}.gn'),
                              groups=8)
        x = plain.conv_norm(x, part(weights, f'output_convs.{level}'), active=True)
    return x


def check_pixels(found: PixelFeatures, images: list[tuple[np.ndarray, list[np.ndarray]]]) -> None:
    np.testing.assert_allclose(
        to_numpy(found.mask_features), np.stack([features for features, _ in images]), **CLOSE)
    assert len(found.memory) == len(images[0][1])
    for level, memory in enumerate(found.memory):
        np.testing.assert_allclose(
            to_numpy(memory), np.stack([own[level] for _, own in images]), **CLOSE)


def decoded(module: nn.Module, rebuild: Callable) -> None:
    maps = backbone_maps()
    weights = plain_weights(module)
    check_pixels(module(maps), [
        rebuild([to_numpy(own[image]) for own in maps], weights) for image in range(2)])


def fpn(maps: list[np.ndarray], weights: Weights) -> tuple:
    """MaskFormer, plain: the memory is the coarsest map as it is; nearest upsampling."""
    x = plain.conv_norm(maps[-1], part(weights, 'output_convs.3'), active=True)
    x = top_down(x, maps[:-1], weights, plain.resize_nearest)
    return plain.convolution(x, part(weights, 'mask_features')), [maps[-1]]


def encoder_fpn(maps: list[np.ndarray], weights: Weights) -> tuple:
    """MaskFormer with an encoder over the coarsest map."""
    x = plain.convolution(maps[-1], part(weights, 'input_proj'))
    size = x.shape[1:]
    rows, place = plain.tokens(x), plain.sine_position(*size, len(x))
    for index in range(2):
        rows = plain.encoder_layer(rows, place, part(weights, f'encoder.{index}'), heads=HEADS)
    memory = plain.as_map(rows, size)
    x = plain.conv_norm(memory, part(weights, 'output_convs.3'), active=True)
    x = top_down(x, maps[:-1], weights, plain.resize_nearest)
    return plain.convolution(x, part(weights, 'mask_features')), [memory]


def deformable_fpn(levels: int) -> Callable:
    """Mask2Former: coarse to fine through the encoder, then bilinear steps upwards."""
    def rebuild(maps: list[np.ndarray], weights: Weights) -> tuple:
        seen = maps[::-1][:levels]
        sizes = [own.shape[1:] for own in seen]
        rows, place = [], []
        for level, own in enumerate(seen):
            w = part(weights, f'input_proj.{level}')
            x = plain.group_norm(plain.convolution(own, part(w, '0')), part(w, '1'))
            rows.append(plain.tokens(x))
            place.append(plain.sine_position(*own.shape[1:], len(x))
                         + weights['level_embed'][level])
        rows, place = np.concatenate(rows), np.concatenate(place)
        for index in range(2):
            rows = plain.deformable_layer(rows, place, part(weights, f'encoder.{index}'),
                                          heads=HEADS, points=2, sizes=sizes)
        cuts = np.cumsum([h * w for h, w in sizes])[:-1]
        memory = [plain.as_map(own, size)
                  for own, size in zip(np.split(rows, cuts), sizes, strict=True)]
        x = top_down(memory[-1], maps[:-levels], weights, plain.resize_bilinear)
        return plain.convolution(x, part(weights, 'mask_features')), memory
    return rebuild


COMMON = dict(in_channels=CHANNELS, channels=32, mask_channels=6)


def test_fpn_pixel_decoder() -> None:
    module = shaken(build(dict(type='FPNPixelDecoder', **COMMON)))
    assert module.mask_features.kernel_size == (3, 3)
    assert (tuple(module.memory_channels), module.mask_channels) == ((10,), 6)
    decoded(module, fpn)


def test_transformer_encoder_pixel_decoder() -> None:
    module = shaken(build(dict(type='TransformerEncoderPixelDecoder', num_layers=2,
                               num_heads=HEADS, ffn_channels=12, **COMMON)))
    assert (tuple(module.memory_channels), module.mask_channels) == ((32,), 6)
    decoded(module, encoder_fpn)


@pytest.mark.parametrize('levels', [3, 2])
def test_deformable_pixel_decoder(levels: int, kernels: str) -> None:
    module = shaken(build(dict(
        type='MSDeformAttnPixelDecoder', num_layers=2, num_heads=HEADS, num_levels=levels,
        num_points=2, ffn_channels=12, **COMMON)), scale=0.3)
    assert module.mask_features.kernel_size == (1, 1)
    assert (tuple(module.memory_channels), module.mask_channels) == ((32,) * levels, 6)
    decoded(module, deformable_fpn(levels))


def fapn(maps: list[np.ndarray], weights: Weights) -> tuple:
    """The memory is the pyramid up to a level."""
    levels = [plain.conv_norm(maps[-1], part(weights, 'output_convs.3'), active=True)]
    for level in (2, 1, 0):
        below = {name.replace(f'.{level}.', '.0.', 1): value for name, value in weights.items()
                 if f's.{level}.' in name or name.startswith(f'align.{level}.')}
        levels.append(top_down(levels[-1], maps[level:level + 1], below, plain.resize_nearest))
    return plain.convolution(levels[-1], part(weights, 'mask_features')), levels[:2]


def test_fapn_pixel_decoder(kernels: str) -> None:
    module = shaken(build(dict(type='FaPNPixelDecoder', num_levels=2, **COMMON)), scale=0.1)
    assert module.mask_features.kernel_size == (3, 3)
    assert (tuple(module.memory_channels), module.mask_channels) == ((32, 32), 6)
    decoded(module, fapn)


def test_msfapn_pixel_decoder(kernels: str) -> None:
    module = shaken(build(dict(
        type='MSFaPNPixelDecoder', num_layers=2, num_heads=HEADS, num_levels=3,
        num_points=2, ffn_channels=12, **COMMON)), scale=0.1)
    assert module.mask_features.kernel_size == (1, 1)
    decoded(module, deformable_fpn(3))


# ----------------------------------------------------------------------------------------- starts

def assert_uniform(weight: Tensor, bound: float) -> None:
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)


def test_decoders_start_as_published() -> None:
    """Convolutions of the pyramid: uniform, bound sqrt(3 / fan in), no bias; a normal embedding."""
    plain_fpn, deep, deformable = (build(dict(type=name, in_channels=(64,) * 4, channels=64,
                                              mask_channels=64))
                                   for name in ('FPNPixelDecoder', 'TransformerEncoderPixelDecoder',
                                                'MSDeformAttnPixelDecoder'))
    for conv in (plain_fpn.mask_features, deep.input_proj, deformable.mask_features,
                 plain_fpn.output_convs[3].conv, plain_fpn.lateral_convs[0].conv):
        assert_uniform(conv.weight, math.sqrt(3 / conv.weight[0].numel()))
        assert conv.bias is None or not conv.bias.any()
    for projection in deformable.input_proj:
        assert_uniform(projection[0].weight, math.sqrt(6 / 128))
        assert not projection[0].bias.any()
    assert deformable.level_embed.std().item() == pytest.approx(1, rel=0.2)
    maskformer = build(dict(type='MaskFormerHead', num_classes=3, memory_channels=(64,),
                            channels=128))
    assert_uniform(maskformer.input_proj.weight, math.sqrt(3 / 64))
    assert not maskformer.input_proj.bias.any()


def test_published_settings_are_the_defaults() -> None:
    from unimask.registry import MODELS
    mask2former = MODELS.build(dict(type='Mask2FormerHead', num_classes=3))
    maskformer = MODELS.build(dict(type='MaskFormerHead', num_classes=3))
    for module, count, dropout in ((mask2former, 9, 0.0), (maskformer, 6, 0.1)):
        assert len(module.layers) == count
        layer = module.layers[0]
        assert layer.self_attn.num_heads == 8 and layer.dropout.p == dropout
        assert layer.ffn.linear1.weight.shape == (2048, 256)
        assert module.query_embed.weight.shape == (100, 256)
        assert [len(own.weight) for own in module.mask_embed.layers] == [256] * 3
    for kind in ('FPNPixelDecoder', 'TransformerEncoderPixelDecoder'):
        decoder = MODELS.build(dict(type=kind, in_channels=(8,) * 4))
        assert decoder.mask_features.weight.shape == (256, 256, 3, 3)
        if kind.startswith('Trans'):
            layer = decoder.encoder[0]
            assert len(decoder.encoder) == 6 and layer.ffn.linear1.weight.shape == (2048, 256)
            assert layer.self_attn.num_heads == 8 and layer.dropout.p == 0.1
    deformable = MODELS.build(dict(type='MSDeformAttnPixelDecoder', in_channels=(8,) * 4))
    assert deformable.mask_features.weight.shape == (256, 256, 1, 1)
    layer = deformable.encoder[0]
    assert len(deformable.encoder) == 6 and layer.ffn.linear1.weight.shape == (1024, 256)
    assert layer.self_attn.attention_weights.weight.shape == (8 * 3 * 4, 256)
