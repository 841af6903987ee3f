"""Layers against loops over queries, heads, levels and points."""

from __future__ import annotations

import math

import numpy as np
import plain
import pytest
import torch
from door import plain_weights, shaken, to_numpy
from torch import Tensor, nn

from unimask.models import layers

WIDTH, HEADS, QUERIES, KEYS = 8, 2, 5, 7
CLOSE = dict(rtol=1e-4, atol=1e-4)


def check(found: Tensor, expected: list[np.ndarray]) -> None:
    """``expected``: one array for each image."""
    np.testing.assert_allclose(to_numpy(found), np.stack(expected), **CLOSE)


def pairs(*values: Tensor) -> zip:
    """Image by image."""
    return zip(*(to_numpy(value) for value in values), strict=True)


@pytest.mark.parametrize('num_layers', [1, 3])
def test_mlp(num_layers: int) -> None:
    mlp = shaken(layers.MLP(inputs=WIDTH, hidden=6, outputs=3, num_layers=num_layers))
    x = torch.randn(2, QUERIES, WIDTH)
    assert len(mlp.layers) == num_layers
    check(mlp(x), [plain.mlp(own, plain_weights(mlp)) for own, in pairs(x)])


def test_feed_forward() -> None:
    module = shaken(layers.FeedForward(WIDTH, 6)).eval()
    x = torch.randn(2, QUERIES, WIDTH)
    check(module(x), [plain.feed_forward(own, plain_weights(module)) for own, in pairs(x)])


@pytest.mark.parametrize('rows', [3, 3000])
def test_feed_forward_of_many_rows(rows: int) -> None:
    """Many rows take another way, with the same values, gradients and dropout."""
    module = shaken(layers.FeedForward(WIDTH, 6, dropout=1.0))
    x = torch.randn(1, rows, WIDTH, requires_grad=True)
    check(module.eval()(x), [plain.feed_forward(own, plain_weights(module)) for own, in pairs(x)])
    module(x).sum().backward()
    hidden = plain.linear(to_numpy(x)[0], plain.part(plain_weights(module), 'linear1')) > 0
    first, second = to_numpy(module.linear1.weight), to_numpy(module.linear2.weight)
    np.testing.assert_allclose(to_numpy(x.grad)[0], (second.sum(0) * hidden) @ first, **CLOSE)
    dropped = module.train()(x)
    torch.testing.assert_close(dropped, module.linear2.bias.expand(1, rows, -1))


def some_visible() -> Tensor:
    """(B, T, S); the second query sees a single key."""
    visible = torch.rand(2, QUERIES, KEYS) > 0.4
    visible[:, 1] = False
    visible[..., 3] = True
    return visible


@pytest.mark.parametrize('masked', [True, False])
def test_attention(masked: bool) -> None:
    module = shaken(layers.Attention(WIDTH, HEADS)).eval()
    query, key, value = (torch.randn(2, n, WIDTH) for n in (QUERIES, KEYS, KEYS))
    visible = some_visible() if masked else None
    seen = [None, None] if visible is None else visible.numpy()
    check(module(query, key, value, None if visible is None else visible[:, None]), [
        plain.attention(q, k, v, plain_weights(module), heads=HEADS, visible=own)
        for (q, k, v), own in zip(pairs(query, key, value), seen, strict=True)])


def test_encoder_layer() -> None:
    module = shaken(layers.EncoderLayer(
        width=WIDTH, num_heads=HEADS, ffn_channels=6, dropout=0.0)).eval()
    x, position = torch.randn(2, QUERIES, WIDTH), torch.randn(QUERIES, WIDTH)
    check(module(x, position), [
        plain.encoder_layer(own, to_numpy(position), plain_weights(module), heads=HEADS)
        for own, in pairs(x)])


@pytest.mark.parametrize('cross_first', [True, False])
@pytest.mark.parametrize('masked', [True, False])
def test_decoder_layer(cross_first: bool, masked: bool) -> None:
    """Mask2Former: cross-attention, self-attention, feed-forward. MaskFormer: self first."""
    module = shaken(layers.DecoderLayer(width=WIDTH, num_heads=HEADS, ffn_channels=6, dropout=0.0,
                                        cross_first=cross_first)).eval()
    weights = plain_weights(module)
    query, position = torch.randn(2, QUERIES, WIDTH), torch.randn(QUERIES, WIDTH)
    key, value, visible = torch.randn(2, KEYS, WIDTH), torch.randn(2, KEYS, WIDTH), some_visible()
    expected = []
    for q, k, v, seen in pairs(query, key, value, visible):
        place, cross = to_numpy(position), dict(key=k, value=v, heads=HEADS,
                                                visible=seen if masked else None)
        if cross_first:
            q = plain.cross_step(q, place, weights, **cross)
            q = plain.self_step(q, place, weights, heads=HEADS)
        else:
            q = plain.self_step(q, place, weights, heads=HEADS)
            q = plain.cross_step(q, place, weights, **cross)
        expected.append(plain.last_step(q, weights))
    check(module(query, position, key=key, value=value,
                 visible=visible[:, None] if masked else None), expected)


SIZES = ((2, 3), (4, 5))


def deformable(kind: type, **settings: object) -> tuple[nn.Module, Tensor, Tensor]:
    """The layer with offsets of a few pixels, tokens and positions."""
    module = shaken(kind(width=WIDTH, num_heads=HEADS, num_levels=2, num_points=3, **settings))
    count = sum(height * width for height, width in SIZES)
    return module.eval(), torch.randn(2, count, WIDTH), torch.randn(count, WIDTH)


def test_deformable_attention(kernels: str) -> None:
    module, x, position = deformable(layers.DeformableAttention)
    weights = plain_weights(module)
    check(module(x, position, SIZES), [
        plain.deformable_attention(own, to_numpy(position), weights, heads=HEADS, points=3,
                                   sizes=SIZES) for own, in pairs(x)])


def test_deformable_layer(kernels: str) -> None:
    module, x, position = deformable(layers.DeformableEncoderLayer, ffn_channels=6, dropout=0.0)
    weights = plain_weights(module)
    check(module(x, position, SIZES), [
        plain.deformable_layer(own, to_numpy(position), weights, heads=HEADS, points=3, sizes=SIZES)
        for own, in pairs(x)])


@pytest.mark.parametrize('size', [(3, 5), (4, 1)])
def test_sine_position(size: tuple[int, int]) -> None:
    found = layers.sine_position(size, 12, torch.device('cpu'))
    np.testing.assert_allclose(to_numpy(found), plain.sine_position(*size, 12), **CLOSE)


@pytest.mark.parametrize('kernel', [1, 3])
@pytest.mark.parametrize('relu', [True, False])
def test_convolution_and_norm(kernel: int, relu: bool) -> None:
    module = shaken(layers.conv_norm(4, 64, kernel, relu=relu))
    x = torch.randn(2, 4, 5, 6)
    assert 'conv.bias' not in module.state_dict()
    check(module(x), [plain.conv_norm(own, plain_weights(module), active=relu)
                      for own, in pairs(x)])


# -------------------------------------------------------------------------------- dropout and start

def normed(x: Tensor, norm: nn.LayerNorm) -> np.ndarray:
    return plain.layer_norm(to_numpy(x), plain_weights(norm))


@pytest.mark.parametrize('kind', ['encoder', 'decoder', 'deformable'])
def test_dropout_falls_on_every_branch(kind: str) -> None:
    """With probability one only the residual path is left."""
    common = dict(width=WIDTH, ffn_channels=6, dropout=1.0)
    x, position = torch.randn(26, WIDTH), torch.randn(26, WIDTH)
    if kind == 'encoder':
        module = shaken(layers.EncoderLayer(num_heads=HEADS, **common))
        norms = (module.norm1, module.norm2)
        module.self_attn.dropout = 0.0
        found = module.train()(x[None], position)
    elif kind == 'deformable':
        module = shaken(layers.DeformableEncoderLayer(
            num_heads=HEADS, num_levels=2, num_points=2, **common))
        norms = (module.norm1, module.norm2)
        found = module.train()(x[None], position, SIZES)
    else:
        module = shaken(layers.DecoderLayer(num_heads=HEADS, cross_first=True, **common))
        norms = (module.cross_norm, module.self_norm, module.ffn_norm)
        module.self_attn.dropout = module.cross_attn.dropout = 0.0
        found = module.train()(x[None], position, key=x[None], value=x[None])
    for norm in norms:
        x = torch.from_numpy(normed(x, norm))
    np.testing.assert_allclose(to_numpy(found[0]), to_numpy(x), **CLOSE)


def test_dropout_of_attention_weights_and_hidden_units() -> None:
    attention = shaken(layers.Attention(WIDTH, HEADS, dropout=0.5))
    x = torch.randn(1, QUERIES, WIDTH)
    for module, call in ((attention, lambda: attention(x, x, x)),):
        plainly = module.eval()(x, x, x)
        torch.testing.assert_close(call(), plainly)
        module.train()
        assert not torch.allclose(call(), plainly, atol=1e-3)
    forward = shaken(layers.FeedForward(WIDTH, 6, dropout=1.0)).train()
    torch.testing.assert_close(forward(x), forward.linear2.bias.expand(1, QUERIES, -1))
    for kind in (layers.EncoderLayer, layers.DecoderLayer):
        settings = dict(cross_first=True) if kind is layers.DecoderLayer else {}
        layer = kind(width=WIDTH, num_heads=HEADS, ffn_channels=6, dropout=0.3, **settings)
        parts = [m for m in layer.modules() if isinstance(m, layers.Attention)]
        assert len(parts) == 1 + len(settings)
        assert all(m.dropout == 0.3 for m in parts) and layer.ffn.dropout.p == 0.3


def assert_uniform(weight: Tensor, bound: float) -> None:
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def xavier_bound(weight: Tensor) -> float:
    return math.sqrt(6 / sum(weight.shape))


def test_layers_start_as_published() -> None:
    """Xavier uniform for every matrix, a 3C x C one as a whole; biases of attention zero."""
    kinds = [layers.EncoderLayer(width=32, num_heads=2, ffn_channels=48, dropout=0.0),
             layers.DecoderLayer(width=32, num_heads=2, ffn_channels=48, dropout=0.0,
                                 cross_first=True)]
    for module in kinds:
        for name, parameter in module.named_parameters():
            if parameter.dim() == 2:
                assert_uniform(parameter, xavier_bound(parameter))
            elif 'attn' in name:
                assert not parameter.any(), name
    conv = layers.conv_norm(32, 64, 3, relu=True).conv
    assert_uniform(conv.weight, math.sqrt(3 / (32 * 9)))


def test_deformable_attention_starts_on_a_star() -> None:
    heads, levels, points = 8, 3, 4
    module = layers.DeformableAttention(
        width=64, num_heads=heads, num_levels=levels, num_points=points)
    offsets = to_numpy(module.sampling_offsets.bias).reshape(heads, levels, points, 2)
    for head in range(heads):
        angle = 2 * math.pi * head / heads
        direction = np.array([math.cos(angle), math.sin(angle)])
        direction /= np.abs(direction).max()
        for level in range(levels):
            for point in range(points):
                np.testing.assert_allclose(
                    offsets[head, level, point], direction * (point + 1), atol=1e-5)
    for parameter in (module.sampling_offsets.weight, module.attention_weights.weight,
                      module.attention_weights.bias, module.value_proj.bias,
                      module.output_proj.bias):
        assert not parameter.any()
    for layer in (module.value_proj, module.output_proj):
        assert_uniform(layer.weight, xavier_bound(layer.weight))
    encoder = layers.DeformableEncoderLayer(
        width=64, num_heads=8, num_levels=3, num_points=4, ffn_channels=32, dropout=0.0)
    assert_uniform(encoder.ffn.linear1.weight, xavier_bound(encoder.ffn.linear1.weight))
