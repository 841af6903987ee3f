"""Weights from elsewhere: of a ViT that was trained without labels, and of a whole EoMT."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from mmengine.logging import print_log
from timm.models import Eva, eva, vision_transformer
from torch import Tensor, nn

from unimask.checkpoints import is_trusted, read_weights
from unimask.convert import Ignore, NameMap, Rule
from unimask.convert.pretrained import check_weights, find_checkpoint
from unimask.errors import UserError
from unimask.registry import WEIGHT_INITIALIZERS

__all__ = ['HUGGINGFACE_EOMT', 'HUGGINGFACE_EOMT_DINOV3', 'PretrainedViT', 'find_name_map']


@WEIGHT_INITIALIZERS.register_module()
class PretrainedViT:
    """Loads a ViT's weights into a model's ``backbone.vit``; the rest of the model is left alone.

    Patch and position embeddings are resized where they were made for other sizes.

    Args:
        checkpoint: Where the weights are: a file, a URL, or ``package://NAME``. Its names are
            timm's, or those of the DINOv2 and DINOv3 releases.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = str(checkpoint)

    def check(self) -> None:
        """Say early whether the weights can be had. Looks, but does not load or download.

        Raises:
            UserError: If they cannot; says where to put them.
        """
        check_weights(self.checkpoint)

    def __call__(self, module: nn.Module) -> None:
        """Load the weights.

        Raises:
            UserError: They do not fit.
        """
        path = find_checkpoint(self.checkpoint)
        vit = module.backbone.vit
        family = eva if isinstance(vit, Eva) else vision_transformer
        weights = family.checkpoint_filter_fn(dict(read_weights(path, trust=is_trusted())), vit)
        try:
            missing, unused = vit.load_state_dict(weights, strict=False)
        except RuntimeError as error:
            raise UserError(f'{path} does not fit the ViT: {error}') from error
        if missing:
            raise UserError(f'{path} lacks {len(missing)} tensors of the ViT, such as {missing[0]};'
                            f' it holds, for example, {", ".join(list(weights)[:3])}.')
        print_log(f'weights of the ViT: {path} ({len(weights) - len(unused)} tensors, '
                  f'{len(unused)} without use)', logger='current')


def joined(*tensors: Tensor) -> Tensor:
    """Projections of the same input as one, such as query, key and value."""
    return torch.cat(tensors)


def apart(projections: Tensor) -> tuple[Tensor, ...]:
    """Query, key and value projections from one: the inverse of :func:`joined`."""
    return projections.chunk(3)


def as_table(embeddings: Tensor) -> Tensor:
    """(N, C) -> (1, N, C)."""
    return embeddings[None]


def from_table(embeddings: Tensor) -> tuple[Tensor]:
    """The inverse of :func:`as_table`."""
    return (embeddings[0],)


P = '{p:weight|bias}'
LAYER, BLOCK = 'layers.{i}.', 'backbone.vit.blocks.{i}.'


def projections(p: str) -> tuple[str, ...]:
    """Names of the query, key and value projections."""
    return tuple(f'{LAYER}attention.{name}_proj.{p}' for name in 'qkv')


QUERIES_AND_HEADS = (
    Rule('embeddings.cls_token', 'backbone.vit.cls_token'),
    Rule('embeddings.register_tokens', 'backbone.vit.reg_token'),
    Rule(LAYER + f'norm{{n:1|2}}.{P}', BLOCK + 'norm{n}.{p}'),
    Rule(f'layernorm.{P}', 'backbone.vit.norm.{p}'),
    Rule('query.weight', 'head.query_feat.weight'),
    Rule(f'upscale_block.block.{{i}}.conv1.{P}', 'head.upscale.{i}.up.{p}'),
    Rule('upscale_block.block.{i}.conv2.weight', 'head.upscale.{i}.depthwise.weight'),
    Rule(f'upscale_block.block.{{i}}.layernorm2d.{P}', 'head.upscale.{i}.norm.{p}'),
    Rule(f'mask_head.fc1.{P}', 'head.mask_embed.0.{p}'),
    Rule(f'mask_head.fc2.{P}', 'head.mask_embed.2.{p}'),
    Rule(f'mask_head.fc3.{P}', 'head.mask_embed.4.{p}'),
    Rule(f'class_predictor.{P}', 'head.class_embed.{p}'),
    Ignore('attn_mask_probs', 'the schedule of the masks is in the config'),
    Ignore('criterion.empty_weight', 'class weights follow from the config'),
)

# What `EomtForUniversalSegmentation` of transformers 4.57 and 5.24 calls its parameters.
HUGGINGFACE_EOMT = NameMap(
    name='huggingface-eomt',
    signature=('embeddings.position_embeddings.weight',),
    rules=(
        *QUERIES_AND_HEADS,
        Rule('embeddings.position_embeddings.weight', 'backbone.vit.pos_embed', as_table,
             from_table),
        Rule(f'embeddings.patch_embeddings.projection.{P}', 'backbone.vit.patch_embed.proj.{p}'),
        Rule(projections(P), BLOCK + 'attn.qkv.{p}', joined, apart),
        Rule(LAYER + f'attention.out_proj.{P}', BLOCK + 'attn.proj.{p}'),
        Rule(LAYER + 'layer_scale{n:1|2}.lambda1', BLOCK + 'ls{n}.gamma'),
        Rule(LAYER + f'mlp.fc{{n:1|2}}.{P}', BLOCK + 'mlp.fc{n}.{p}'),
        # ViT-g: one matrix in release 4, two in release 5.
        Rule(LAYER + f'mlp.weights_in.{P}', BLOCK + 'mlp.fc1.{p}'),
        Rule(tuple(LAYER + f'mlp.{name}_proj.{P}' for name in ('gate', 'up')),
             BLOCK + 'mlp.fc1.{p}', joined),
        Rule(LAYER + f'mlp.{{m:weights_out|down_proj}}.{P}', BLOCK + 'mlp.fc2.{p}'),
    ),
)

# What `EomtDinov3ForUniversalSegmentation` of transformers 5.24 calls them.
HUGGINGFACE_EOMT_DINOV3 = NameMap(
    name='huggingface-eomt-dinov3',
    signature=('embeddings.patch_embeddings.weight',),
    rules=(
        *QUERIES_AND_HEADS,
        Rule(f'embeddings.patch_embeddings.{P}', 'backbone.vit.patch_embed.proj.{p}'),
        Rule(projections('weight'), BLOCK + 'attn.qkv.weight', joined, apart),
        Rule(LAYER + 'attention.{m:q|v}_proj.bias', BLOCK + 'attn.{m}_bias'),
        Rule(LAYER + f'attention.o_proj.{P}', BLOCK + 'attn.proj.{p}'),
        Rule(LAYER + 'layer_scale{n:1|2}.lambda1', BLOCK + 'gamma_{n}'),
        Rule(LAYER + f'mlp.up_proj.{P}', BLOCK + 'mlp.fc1.{p}'),
        Rule(LAYER + f'mlp.down_proj.{P}', BLOCK + 'mlp.fc2.{p}'),
    ),
)
NAME_MAPS = (HUGGINGFACE_EOMT, HUGGINGFACE_EOMT_DINOV3)


def find_name_map(names: Iterable[str]) -> NameMap:
    """The map of a state dict with these names.

    Raises:
        UserError: They are not those of an EoMT of ``transformers``.
    """
    names = list(names)
    found = [each for each in NAME_MAPS if each.recognises(names)]
    if len(found) != 1:
        raise UserError('no EoMT of transformers has such names: '
                        f'{", ".join(names[:3]) or "none, the file is empty"}.')
    return found[0]
