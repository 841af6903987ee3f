"""Names and shapes of the published SeMask checkpoints, written down from the authors' naming."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

Names = Iterator[tuple[str, tuple[int, ...]]]
SIZES = {'tiny': (96, (2, 2, 6, 2), (3, 6, 12, 24), 7),
         'small': (96, (2, 2, 18, 2), (3, 6, 12, 24), 7),
         'base': (128, (2, 2, 18, 2), (4, 8, 16, 32), 12),
         'large': (192, (2, 2, 18, 2), (6, 12, 24, 48), 12)}

MASKFORMER = 'ade20k-150/swin/maskformer_swin_large_IN21k_384_bs16_160k_res640.yaml'


def tensors(names: Names) -> dict[str, Tensor]:
    """A state dict without values."""
    return {name: torch.empty(shape, dtype=torch.int64 if 'index' in name else torch.float32,
                              device='meta') for name, shape in names}


def linear(name: str, inputs: int, outputs: int) -> Names:
    yield f'{name}.weight', (outputs, inputs)
    yield f'{name}.bias', (outputs,)


def norm(name: str, width: int) -> Names:
    yield f'{name}.weight', (width,)
    yield f'{name}.bias', (width,)


def encoder(size: str, classes: int) -> Names:
    """The encoder, the same in all four sub-projects."""
    embed, depths, heads, window = SIZES[size]
    yield 'backbone.patch_embed.proj.weight', (embed, 3, 4, 4)
    yield 'backbone.patch_embed.proj.bias', (embed,)
    yield from norm('backbone.patch_embed.norm', embed)
    for stage, depth in enumerate(depths):
        width, layer = embed * 2**stage, f'backbone.layers.{stage}'
        for index in range(depth):
            yield from _block(f'{layer}.blocks.{index}', width, heads[stage], window)
        yield from norm(f'{layer}.semantic_layer.norm1', width)
        semantic = f'{layer}.semantic_layer.class_injection.0'
        yield f'{semantic}.gamma', (1,)
        for name, outputs in (('mlp_cls_q', classes), ('mlp_cls_k', classes), ('mlp_v', width),
                              ('mlp_res', width)):
            yield from linear(f'{semantic}.{name}', width, outputs)
        if stage < 3:
            yield f'{layer}.downsample.reduction.weight', (2 * width, 4 * width)
            yield from norm(f'{layer}.downsample.norm', 4 * width)
        yield from norm(f'backbone.norm{stage}', width)


def _block(name: str, width: int, heads: int, window: int) -> Names:
    yield from norm(f'{name}.norm1', width)
    yield f'{name}.attn.relative_position_bias_table', ((2 * window - 1)**2, heads)
    yield f'{name}.attn.relative_position_index', (window**2, window**2)
    yield from linear(f'{name}.attn.qkv', width, 3 * width)
    yield from linear(f'{name}.attn.proj', width, width)
    yield from norm(f'{name}.norm2', width)
    yield from linear(f'{name}.mlp.fc1', width, 4 * width)
    yield from linear(f'{name}.mlp.fc2', 4 * width, width)


def fpn(size: str, classes: int, *, scored: int | None = None) -> dict[str, Tensor]:
    """A SeMask-FPN; ``scored`` is the number of classes of its encoder."""
    return tensors((*encoder(size, scored or classes), *_fpn_head(SIZES[size][0], classes)))


def _fpn_head(embed: int, classes: int) -> Names:
    yield 'decode_head.conv_seg.weight', (classes, 256, 1, 1)
    yield 'decode_head.conv_seg.bias', (classes,)
    for scale in range(4):
        for place in range(max(1, scale)):
            name = f'decode_head.scale_heads.{scale}.{2 * place}'
            yield f'{name}.conv.weight', (256, 256 if place else embed * 2**scale, 3, 3)
            for part in ('weight', 'bias', 'running_mean', 'running_var'):
                yield f'{name}.bn.{part}', (256,)


def mask_classifier(zoo: Path, config: str, classes: int, *, decoder: str = ''
                    ) -> dict[str, Tensor]:
    """A SeMask-MaskFormer or -Mask2Former with Swin-L.

    Args:
        zoo: Folder of the listings of published models.
        config: That of the model without SeMask; its head is this one's.
        classes: Of the data set.
        decoder: '', ``fapn`` or ``msfapn``.
    """
    heads = _listing(zoo, config)
    if decoder == 'fapn':  # the pixel decoder is MaskFormer's with alignment
        plain = _listing(zoo, MASKFORMER)
        heads = {name: shape for name, shape in heads.items() if '.pixel_decoder.' not in name} | {
            name: shape for name, shape in plain.items() if '.pixel_decoder.' in name}
    aligned = dict(fapn=(1, 2, 3), msfapn=(1,)).get(decoder, ())
    return tensors((*encoder('large', classes), *heads.items(),
                    *(entry for step in aligned for entry in _alignment(step))))


def _alignment(step: int) -> Names:
    name = f'sem_seg_head.pixel_decoder.align_{step}'
    yield f'{name}.offset.weight', (256, 512, 1, 1)
    yield from norm(f'{name}.offset.norm', 256)
    yield f'{name}.dcpack_L2.weight', (256, 256, 3, 3)
    yield f'{name}.dcpack_L2.bias', (256,)
    yield f'{name}.dcpack_L2.conv_offset_mask.weight', (216, 256, 3, 3)
    yield f'{name}.dcpack_L2.conv_offset_mask.bias', (216,)


def _listing(zoo: Path, config: str) -> dict[str, tuple[int, ...]]:
    """Names of the parts beside the backbone."""
    with (zoo / 'index.csv').open() as file:
        row = next(row for row in csv.DictReader(file)
                   if row['config'] == config and not row['opts'])
    with gzip.open(zoo / f'{row["hash"]}.json.gz') as stream:
        return {name: tuple(shape) for name, shape, *_ in json.load(stream)['entries']
                if not name.startswith('backbone.')}
