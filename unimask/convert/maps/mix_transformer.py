"""Names of the Mix Transformer's ImageNet weights: SegFormer's authors' and MMSegmentation's."""

from __future__ import annotations

from torch import Tensor

from unimask.convert.maps.common import merge
from unimask.convert.maps.detectron2 import AFFINE
from unimask.convert.rules import Ignore, NameMap, Rule

__all__ = ['MIT']


def pointwise(weight: Tensor) -> Tensor:
    """Weight (D, C) of a linear layer as that of a 1x1 convolution, (D, C, 1, 1)."""
    return weight[..., None, None]


BLOCK, OURS = 'block{s}.{j}.', 'backbone.layers.{s-1}.1.{j}.'
# Stages count from 1; each is the embedding of patches (0), blocks (1) and a norm (2).
AUTHORS = (
    Rule('patch_embed{s}.proj.' + AFFINE, 'backbone.layers.{s-1}.0.projection.{p}'),
    Rule('patch_embed{s}.norm.' + AFFINE, 'backbone.layers.{s-1}.0.norm.{p}'),
    Rule(BLOCK + 'norm{n:1|2}.' + AFFINE, OURS + 'norm{n}.{p}'),
    Rule((BLOCK + 'attn.q.' + AFFINE, BLOCK + 'attn.kv.' + AFFINE), OURS + 'attn.attn.in_proj_{p}',
         merge),
    Rule(BLOCK + 'attn.proj.' + AFFINE, OURS + 'attn.attn.out_proj.{p}'),
    Rule(BLOCK + 'attn.{m:sr|norm}.' + AFFINE, OURS + 'attn.{m}.{p}'),
    Rule(BLOCK + 'mlp.fc1.weight', OURS + 'ffn.layers.0.weight', pointwise),
    Rule(BLOCK + 'mlp.fc1.bias', OURS + 'ffn.layers.0.bias'),
    Rule(BLOCK + 'mlp.dwconv.dwconv.' + AFFINE, OURS + 'ffn.layers.1.{p}'),
    Rule(BLOCK + 'mlp.fc2.weight', OURS + 'ffn.layers.4.weight', pointwise),
    Rule(BLOCK + 'mlp.fc2.bias', OURS + 'ffn.layers.4.bias'),
    Rule('norm{s}.' + AFFINE, 'backbone.layers.{s-1}.2.{p}'),
    Ignore('head.' + AFFINE, 'classifier of the pre-training task'),
)

MIT = NameMap(
    name='mit',
    signature=('patch_embed1.proj.weight', 'layers.0.0.projection.weight'),
    rules=(*AUTHORS, Rule('layers.{i}.{k:0|1|2}.{p*}', 'backbone.layers.{i}.{k}.{p}')),
)
