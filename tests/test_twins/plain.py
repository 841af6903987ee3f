"""Formulas written out slowly in float64: what the code under test is compared with.

Nothing of unimask is used here. Axes of a map are (y, x), a point is (x, y).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

Weights = Mapping[str, np.ndarray]


# ------------------------------------------------------------------------------- single values

def sigmoid(x: np.ndarray | float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def softplus(x: np.ndarray | float) -> np.ndarray:
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    power = np.exp(x - x.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)


def binary_cross_entropy(x: float, t: float) -> float:
    """-t log p - (1 - t) log(1 - p) with p = sigmoid(x)."""
    return t * float(softplus(-x)) + (1 - t) * float(softplus(x))


def focal_of_halves(x: float, t: float) -> float:
    """The focal cost: a value t between 0 and 1 is a mixture of the positive and the negative."""
    p = float(sigmoid(x))
    positive = 0.25 * (1 - p) ** 2 * float(softplus(-x))
    negative = 0.75 * p ** 2 * float(softplus(x))
    return t * positive + (1 - t) * negative


def dice(x: Sequence[float], t: Sequence[float]) -> float:
    """1 - (2 sum p t + 1) / (sum p + sum t + 1)."""
    both = size = 0.0
    for logit, truth in zip(x, t, strict=True):
        p = float(sigmoid(logit))
        both += p * truth
        size += p + truth
    return 1 - (2 * both + 1) / (size + 1)


def mean_bce(x: Sequence[float], t: Sequence[float]) -> float:
    return sum(binary_cross_entropy(a, b) for a, b in zip(x, t, strict=True)) / len(x)


def mean_focal(x: Sequence[float], t: Sequence[float]) -> float:
    return sum(focal_of_halves(a, b) for a, b in zip(x, t, strict=True)) / len(x)


def class_cost(logits: Sequence[float], label: int) -> float:
    return -float(softmax(np.asarray(logits, float))[label])


# ---------------------------------------------------------------------- sampling and resizing

def bilinear(image: np.ndarray, x: float, y: float) -> float:
    """Value at (x, y) in [0, 1]; pixel (i, j) has its centre at ((j + 0.5) / w, (i + 0.5) / h)."""
    height, width = image.shape
    column, row = x * width - 0.5, y * height - 0.5
    left, top = math.floor(column), math.floor(row)
    value = 0.0
    for i in (top, top + 1):
        for j in (left, left + 1):
            if 0 <= i < height and 0 <= j < width:
                value += (1 - abs(row - i)) * (1 - abs(column - j)) * float(image[i, j])
    return value


def sampled(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values at points (P, 2)."""
    return np.array([bilinear(image, x, y) for x, y in points])


def resize_bilinear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Corners not aligned, the border continued."""
    out = np.zeros(size)
    for i in range(size[0]):
        for j in range(size[1]):
            row = max((i + 0.5) * image.shape[0] / size[0] - 0.5, 0)
            column = max((j + 0.5) * image.shape[1] / size[1] - 0.5, 0)
            top, left = int(row), int(column)
            bottom = min(top + 1, image.shape[0] - 1)
            right = min(left + 1, image.shape[1] - 1)
            down, across = row - top, column - left
            out[i, j] = ((1 - down) * ((1 - across) * image[top, left] + across * image[top, right])
                         + down * ((1 - across) * image[bottom, left]
                                   + across * image[bottom, right]))
    return out


def resize_nearest(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixel whose index is the rounded-down share."""
    out = np.zeros(size, image.dtype)
    for i in range(size[0]):
        for j in range(size[1]):
            out[i, j] = image[i * image.shape[0] // size[0], j * image.shape[1] // size[1]]
    return out


def resize_area(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mean over all pixels that a cell touches."""
    out = np.zeros(size)
    for i in range(size[0]):
        for j in range(size[1]):
            rows = slice(i * image.shape[0] // size[0], -(-(i + 1) * image.shape[0] // size[0]))
            columns = slice(j * image.shape[1] // size[1], -(-(j + 1) * image.shape[1] // size[1]))
            out[i, j] = image[rows, columns].mean()
    return out


def each(resize: object, maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A resizing of every map of (C, h, w)."""
    return np.stack([resize(image, size) for image in maps])


# ------------------------------------------------------------------------------------ layers
# Tokens (T, E) and maps (C, h, w) of one image. Weights are named as in the state dict.

def part(weights: Weights, prefix: str) -> dict[str, np.ndarray]:
    """The weights below a prefix, without it."""
    start = prefix + '.'
    return {name[len(start):]: value for name, value in weights.items() if name.startswith(start)}


def linear(x: np.ndarray, w: Weights) -> np.ndarray:
    return x @ w['weight'].T + w['bias']


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def layer_norm(x: np.ndarray, w: Weights) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-5)
    return centred / deviation * w['weight'] + w['bias']


def group_norm(x: np.ndarray, w: Weights, groups: int = 32) -> np.ndarray:
    out = np.empty_like(x)
    width = len(x) // groups
    for g in range(groups):
        own = x[g * width:(g + 1) * width]
        out[g * width:(g + 1) * width] = (own - own.mean()) / np.sqrt(own.var() + 1e-5)
    return out * w['weight'][:, None, None] + w['bias'][:, None, None]


def convolution(x: np.ndarray, w: Weights) -> np.ndarray:
    """Stride 1, padded so that the size stays."""
    kernel = w['weight'].shape[-1]
    pad = kernel // 2
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((len(w['weight']), height, width))
    for i in range(kernel):
        for j in range(kernel):
            out += np.einsum('oc,chw->ohw', w['weight'][:, :, i, j],
                             padded[:, i:i + height, j:j + width])
    return out + w['bias'][:, None, None] if 'bias' in w else out


def conv_norm(x: np.ndarray, w: Weights, *, active: bool) -> np.ndarray:
    """Convolution, group norm and perhaps ReLU."""
    out = group_norm(convolution(x, part(w, 'conv')), part(w, 'gn'))
    return relu(out) if active else out


def aligned(finer: np.ndarray, coarse: np.ndarray, w: Weights, norm: Weights, *, groups: int
            ) -> np.ndarray:
    """Feature alignment of (C, h, w) maps: each tap of each group looks where it is told to."""
    fused = group_norm(convolution(np.concatenate([finer, 2 * coarse]), part(w, 'fusion')), norm)
    told = convolution(fused, part(w, 'sampling'))
    channels, height, width = coarse.shape
    offset = told[:groups * 18].reshape(groups, 3, 3, 2, height, width)
    mask = sigmoid(told[groups * 18:]).reshape(groups, 3, 3, height, width)
    out = np.zeros_like(coarse)
    for row, column in np.ndindex(height, width):
        seen = np.zeros((channels, 3, 3))
        for c, i, j in np.ndindex(channels, 3, 3):
            group = c * groups // channels
            down, across = offset[group, i, j, :, row, column]
            seen[c, i, j] = mask[group, i, j, row, column] * bilinear(
                coarse[c], (column + j - 1 + across + 0.5) / width,
                (row + i - 1 + down + 0.5) / height)
        out[:, row, column] = np.einsum('ocij,cij->o', w['conv.weight'], seen) + w['conv.bias']
    return relu(out) + finer


def mlp(x: np.ndarray, w: Weights) -> np.ndarray:
    last = max(int(name.split('.')[1]) for name in w)
    for index in range(last):
        x = relu(linear(x, part(w, f'layers.{index}')))
    return linear(x, part(w, f'layers.{last}'))


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, w: Weights, *, heads: int,
              visible: np.ndarray | None = None) -> np.ndarray:
    """Query by query and head by head; ``visible`` (T, S) is the same for all heads."""
    width = query.shape[1]
    share = width // heads
    q, k, v = (x @ w['in_proj_weight'][i * width:(i + 1) * width].T
               + w['in_proj_bias'][i * width:(i + 1) * width]
               for i, x in enumerate((query, key, value)))
    mixed = np.zeros_like(query)
    for t in range(len(query)):
        seen = range(len(key)) if visible is None else np.flatnonzero(visible[t])
        for head in range(heads):
            own = slice(head * share, (head + 1) * share)
            scores = softmax(np.array([q[t, own] @ k[s, own] / math.sqrt(share) for s in seen]))
            for score, s in zip(scores, seen, strict=True):
                mixed[t, own] += score * v[s, own]
    return linear(mixed, part(w, 'out_proj'))


def feed_forward(x: np.ndarray, w: Weights) -> np.ndarray:
    return linear(relu(linear(x, part(w, 'linear1'))), part(w, 'linear2'))


def encoder_layer(x: np.ndarray, position: np.ndarray, w: Weights, *, heads: int) -> np.ndarray:
    """The position is part of queries and keys; norms come after the sums."""
    place = x + position
    x = layer_norm(x + attention(place, place, x, part(w, 'self_attn'), heads=heads),
                   part(w, 'norm1'))
    return layer_norm(x + feed_forward(x, part(w, 'ffn')), part(w, 'norm2'))


def cross_step(query: np.ndarray, position: np.ndarray, w: Weights, *, key: np.ndarray,
               value: np.ndarray, heads: int, visible: np.ndarray | None = None) -> np.ndarray:
    seen = attention(query + position, key, value, part(w, 'cross_attn'), heads=heads,
                     visible=visible)
    return layer_norm(query + seen, part(w, 'cross_norm'))


def self_step(query: np.ndarray, position: np.ndarray, w: Weights, *, heads: int) -> np.ndarray:
    place = query + position
    told = attention(place, place, query, part(w, 'self_attn'), heads=heads)
    return layer_norm(query + told, part(w, 'self_norm'))


def last_step(query: np.ndarray, w: Weights) -> np.ndarray:
    return layer_norm(query + feed_forward(query, part(w, 'ffn')), part(w, 'ffn_norm'))


def deformable_attention(x: np.ndarray, position: np.ndarray, w: Weights, *, heads: int,
                         points: int, sizes: Sequence[tuple[int, int]]) -> np.ndarray:
    """Token by token, head by head, level by level, point by point."""
    values = linear(x, part(w, 'value_proj'))
    query = x + position
    shape = (len(x), heads, len(sizes), points)
    offsets = linear(query, part(w, 'sampling_offsets')).reshape(*shape, 2)
    logits = linear(query, part(w, 'attention_weights')).reshape(len(x), heads, -1)
    shares = softmax(logits).reshape(shape)
    share = x.shape[1] // heads
    starts = np.cumsum([0] + [h * w for h, w in sizes])
    centres = [((j + 0.5) / width, (i + 0.5) / height)
               for height, width in sizes for i in range(height) for j in range(width)]
    mixed = np.zeros_like(x)
    for t, (centre_x, centre_y) in enumerate(centres):
        for head in range(heads):
            for level, (height, width) in enumerate(sizes):
                own = values[starts[level]:starts[level + 1], head * share:(head + 1) * share]
                maps = own.T.reshape(share, height, width)
                for p in range(points):
                    dx, dy = offsets[t, head, level, p]
                    sample = [bilinear(m, centre_x + dx / width, centre_y + dy / height)
                              for m in maps]
                    mixed[t, head * share:(head + 1) * share] += (
                        shares[t, head, level, p] * np.array(sample))
    return linear(mixed, part(w, 'output_proj'))


def deformable_layer(x: np.ndarray, position: np.ndarray, w: Weights, *, heads: int, points: int,
                     sizes: Sequence[tuple[int, int]]) -> np.ndarray:
    looked = deformable_attention(x, position, part(w, 'self_attn'), heads=heads, points=points,
                                  sizes=sizes)
    x = layer_norm(x + looked, part(w, 'norm1'))
    return layer_norm(x + feed_forward(x, part(w, 'ffn')), part(w, 'norm2'))


def sine_position(height: int, width: int, channels: int) -> np.ndarray:
    """(h * w, C): first half from y, second from x; sine and cosine take turns."""
    half = channels // 2
    out = np.zeros((height, width, channels))
    for i in range(height):
        for j in range(width):
            for axis, (index, length) in enumerate(((i, height), (j, width))):
                angle = (index + 1) / (length + 1e-6) * 2 * math.pi
                for f in range(half):
                    phase = angle / 10000 ** (2 * (f // 2) / half)
                    value = math.sin(phase) if f % 2 == 0 else math.cos(phase)
                    out[i, j, axis * half + f] = value
    return out.reshape(-1, channels)


def tokens(maps: np.ndarray) -> np.ndarray:
    """(C, h, w) -> (h * w, C), row by row."""
    return maps.reshape(len(maps), -1).T


def as_map(rows: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Back again."""
    return rows.T.reshape(-1, *size)
