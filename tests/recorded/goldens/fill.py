"""Weights, images, targets and predictions of the recorded cases, made from names and numbers.

Nothing is stored: a generator seeded by the checksum of a parameter's published name gives its
value, one seeded by a small integer an image. ``tests/recorded/README.md`` states the rules.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

_AS_BUILT = {'relative_position_index', 'empty_weight', 'num_batches_tracked', 'pixel_mean',
             'pixel_std'}
_EMBEDDINGS = {'query_feat', 'query_embed', 'level_embed', 'static_query', 'label_enc'}
_BIAS_SHIFTS = {  # end of a bias's name -> (entry, what is added to it)
    'class_embed.bias': (-1, 18.0),
    'mask_embed.layers.2.bias': (0, -2.0),
    'pixel_decoder.mask_features.bias': (0, 2.0),
}


def fill(name: str, shape: Sequence[int]) -> np.ndarray | None:
    """Value (float32) of the state-dict entry with this published name.

    None for buffers that keep the value they are built with.
    """
    words, shape = name.split('.'), tuple(int(side) for side in shape)
    kind = words[-1]
    if kind in _AS_BUILT:
        return None
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if kind == 'running_var' or (len(shape) == 1 and not _is_normal(words)):
        value = 1 + 0.1 * rng.random(shape)
    elif _is_normal(words):
        value = _spread(words) * rng.standard_normal(shape)
    else:
        value = _matrix(words, rng.standard_normal(shape))
    for end, (entry, shift) in _BIAS_SHIFTS.items():
        if name.endswith(end):
            value[entry] += shift
    return value.astype(np.float32)


def _is_normal(words: list[str]) -> bool:
    """Whether the entry is a plain normal sample: statistics, tables, embeddings and biases."""
    return bool(_EMBEDDINGS & set(words)) or words[-1] in (
        'running_mean', 'relative_position_bias_table', 'bias', 'in_proj_bias')


def _spread(words: list[str]) -> float:
    if words[-1] == 'running_mean':
        return 0.1
    if words[-1] == 'relative_position_bias_table':
        return 0.5
    if _EMBEDDINGS & set(words):
        return 0.3 if 'level_embed' in words else 1.0
    return 1.0 if 'sampling_offsets' in words else 0.1


def _matrix(words: list[str], sample: np.ndarray) -> np.ndarray:
    """Weight of a layer: no mean over the inputs, the gain over the root of their number."""
    inputs = int(np.prod(sample.shape[1:]))
    gain = _gain(words)
    sample = sample - sample.mean(axis=tuple(range(1, sample.ndim)), keepdims=True)
    value = gain * sample / np.sqrt(inputs)
    if words[-1] == 'in_proj_weight':  # the last third makes values, whose gain is one
        value[2 * len(value) // 3:] /= gain
    return value


def _gain(words: list[str]) -> float:
    """Gains that keep queries and tokens of a random network from becoming all alike."""
    crossing, deciding = 'multihead_attn' in words, 'predictor' in words
    if 'sampling_offsets' in words:
        return 0.5
    if 'class_embed' in words:
        return 6.0
    if words[-2] == 'out_proj':
        if not crossing:
            return 0.1
        return 3.0 if 'transformer' in words else 0.25
    if deciding and words[-2] == 'linear2':
        return 0.25
    if deciding and (words[-2] == 'input_proj' or (crossing and words[-1] == 'in_proj_weight')):
        return 3.0
    return 1.0


def make_image(seed: int, height: int, width: int) -> np.ndarray:
    """(3, height, width) uint8: squares of 16 pixels in random colours, noise over them."""
    rng = np.random.default_rng(1000 + seed)
    squares = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3))
    colours = np.kron(squares, np.ones((16, 16, 1), squares.dtype))[:height, :width]
    noisy = 0.7 * colours + 0.3 * 128 + 20 * rng.standard_normal((height, width, 3))
    pixels = np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def make_targets(kind: str, seed: int, height: int, width: int, num_classes: int, num: int
                 ) -> tuple[np.ndarray, np.ndarray]:
    """Labels (num,) int64 and masks (num, height, width) bool.

    ``overlap``: ellipses, any labels. ``partition``: every pixel belongs to the nearest of
    num + 1 seeds, the last of which has no label; labels differ.
    """
    rng = np.random.default_rng(2000 + seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    seeds = num if kind == 'overlap' else num + 1
    rows, columns = rng.random(seeds) * height, rng.random(seeds) * width
    squares = [(y - row) ** 2 for row in rows], [(x - column) ** 2 for column in columns]
    if kind == 'overlap':
        tall = (0.10 + 0.25 * rng.random(num)) * height
        wide = (0.10 + 0.25 * rng.random(num)) * width
        masks = [((y - rows[i]) / tall[i]) ** 2 + ((x - columns[i]) / wide[i]) ** 2 <= 1
                 for i in range(num)]
        labels = rng.integers(0, num_classes, num)
    else:
        nearest = np.argmin([dy + dx for dy, dx in zip(*squares, strict=True)], axis=0)
        masks = [nearest == i for i in range(num)]
        labels = rng.choice(num_classes, num, replace=False)
    empty = np.zeros((0, height, width), bool)
    return labels.astype(np.int64), np.stack(masks) if num else empty


def make_predictions(seed: int, num_queries: int, num_classes: int, height: int, width: int,
                     favoured: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Class logits (num_queries, num_classes + 1), mask logits (num_queries, height, width).

    About 40 % of the queries predict no-object; the others share few classes, ``favoured`` and
    five more. Masks are noisy cones over ellipses.
    """
    rng = np.random.default_rng(3000 + seed)
    classes = [*favoured, *rng.choice(num_classes, 5, replace=False)]
    logits = rng.standard_normal((num_queries, num_classes + 1))
    nothing = rng.random(num_queries) < 0.4
    favourite = np.where(nothing, num_classes, rng.choice(classes, num_queries))
    logits[np.arange(num_queries), favourite] += 4 + 8 * rng.random(num_queries)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    (rows, columns) = rng.random((2, num_queries, 1, 1))
    (tall, wide) = 0.04 + 0.16 * rng.random((2, num_queries, 1, 1))
    distance = ((y / height - rows) / tall) ** 2 + ((x / width - columns) / wide) ** 2
    noise = rng.standard_normal((num_queries, height, width))
    masks = 5 * (1 - np.sqrt(distance)) + 0.7 * noise
    return logits.astype(np.float32), masks.astype(np.float32)
