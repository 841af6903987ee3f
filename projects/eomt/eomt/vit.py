"""Plain Vision Transformers of timm, open before their last blocks.

Shapes: B batch, C width, P prefix tokens (class and registers), (H, W) input, (h, w) patches,
T tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
from mmengine.model import BaseModule
from timm.models import Eva, VisionTransformer
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.registry import MODELS
from unimask.structures import BackboneFeatures

__all__ = ['OpenFeatures', 'PlainViT']

Block = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class OpenFeatures(BackboneFeatures):
    """Tokens before the last blocks, and the rest of the way.

    Attributes:
        maps: The image tokens as one map (B, C, h, w).
        prefix: Class and register tokens (B, P, C).
        blocks: The last blocks: tokens (B, T, C), the image's last among them, and which token
            (row) may look at which, (B, 1, T, T) bool or None, to tokens (B, T, C).
        norm: What follows the last block.
    """

    prefix: Tensor | None = None
    blocks: tuple[Block, ...] = ()
    norm: nn.Module | None = None


@MODELS.register_module()
class PlainViT(BaseModule):
    """A ViT of timm that lets a head join in its last blocks (EoMT, section 3.2).

    The blocks stay the backbone's own: a checkpoint, learning rates by depth and freezing see one
    ViT.

    Args:
        model_name: A ViT of timm: DINOv2 (``vit_large_patch14_reg4_dinov2``), DINOv3
            (``vit_large_patch16_dinov3``), or another one with plain blocks.
        img_size: Edge of the square that position embeddings are made for, in pixels. For other
            sizes they are resized on the way.
        num_joint_blocks: Blocks that are left to the head. None for the published numbers: 3 of
            12 (ViT-S and -B), 4 of 24 (ViT-L), 5 of 40 (ViT-g).
        patch_size: Edge of a patch in pixels.
        drop_path_rate: Stochastic depth of the last block, less in earlier ones.
        model_args: More arguments of the timm model.

    Attributes:
        out_channels: (C,).
        strides: (patch size,).

    Raises:
        UserError: timm has no such model, or it is no plain ViT.
    """

    undecayed = ('vit.cls_token', 'vit.reg_token', 'vit.pos_embed')

    def __init__(self, *, model_name: str, img_size: int = 640,
                 num_joint_blocks: int | None = None, patch_size: int = 16,
                 drop_path_rate: float = 0.0, model_args: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.vit = _create(model_name, dict(
            dict(img_size=img_size, patch_size=patch_size, drop_path_rate=drop_path_rate,
                 num_classes=0, dynamic_img_size=True), **(model_args or {})))
        depth = len(self.vit.blocks)
        self.num_joint_blocks = (
            published_joint_blocks(depth) if num_joint_blocks is None else num_joint_blocks)
        if not 0 < self.num_joint_blocks <= depth:
            raise UserError(f'num_joint_blocks={num_joint_blocks}: "{model_name}" has {depth} '
                            'blocks, of which the head needs one at least.')
        self.out_channels = (self.vit.embed_dim,)
        self.strides = (self.vit.patch_embed.patch_size[0],)

    def forward(self, images: Tensor) -> OpenFeatures:
        """Run all blocks but the last ones on images (B, 3, H, W).

        Raises:
            UserError: The patches do not divide the images.
        """
        grid = self._grid(images)
        tokens, rope = self._embed(images)
        first = len(self.vit.blocks) - self.num_joint_blocks
        blocks = tuple(_Placed(block, rope) for block in self.vit.blocks)
        for block in blocks[:first]:
            tokens = block(tokens)
        prefix, patches = tokens.split([tokens.shape[1] - grid[0] * grid[1], grid[0] * grid[1]], 1)
        return OpenFeatures((patches.transpose(1, 2).unflatten(2, grid),), prefix=prefix,
                            blocks=blocks[first:], norm=self.vit.norm)

    def _grid(self, images: Tensor) -> tuple[int, int]:
        stride, size = self.strides[0], tuple(images.shape[-2:])
        if size[0] % stride or size[1] % stride:
            raise UserError(f'images of {size[0]} x {size[1]} pixels do not consist of patches of '
                            f'{stride}: set model.data_preprocessor.pad_size_divisor={stride}.')
        return size[0] // stride, size[1] // stride

    def _embed(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Prefix and image tokens (B, P + h * w, C) before the first block, and their rotation."""
        vit = self.vit
        # timm has no public name for this step, which all of its transformers have.
        placed = vit._pos_embed(vit.patch_embed(images))
        tokens, rope = placed if isinstance(placed, tuple) else (placed, None)
        return vit.norm_pre(tokens), rope


@dataclass(frozen=True)
class _Placed:
    """A block of timm's, which is told where the image tokens are.

    Attributes:
        block: The block.
        rope: Rotation of the image tokens (h * w, D), sines before cosines; None where a model
            has none.
    """

    block: nn.Module
    rope: Tensor | None

    def __call__(self, tokens: Tensor, visible: Tensor | None = None) -> Tensor:
        if self.rope is None:
            return self.block(tokens, attn_mask=visible)
        return self.block(tokens, rope=self._rotation(tokens.shape[1]), attn_mask=visible)

    def _rotation(self, count: int) -> Tensor:
        """Rotations of all tokens that the block rotates: none for those before the image's."""
        others = count - self.block.attn.num_prefix_tokens - len(self.rope)
        if not others:
            return self.rope
        still = torch.zeros_like(self.rope[:1])
        still[:, still.shape[1] // 2:] = 1
        return torch.cat([still.expand(others, -1), self.rope])


def published_joint_blocks(depth: int) -> int:
    """How many of the last blocks queries go through (EoMT, section 4.1): 3, 4 or 5."""
    return {24: 4, 40: 5}.get(depth, min(3, depth))


def _create(name: str, args: dict) -> nn.Module:
    """A model of timm, refused where its blocks are called in other ways."""
    if not timm.is_model(name):
        raise UserError(f'timm {timm.__version__} has no model "{name}".')
    try:
        vit = timm.create_model(name, **args)
    except TypeError as error:
        raise UserError(f'timm\'s "{name}" is no plain ViT: {error}') from error
    if not isinstance(vit, VisionTransformer | Eva) or getattr(vit, 'rope_mixed', False):
        raise UserError(f'timm\'s "{name}" is a {type(vit).__name__}, no plain ViT. Choose one '
                        'such as vit_base_patch14_reg4_dinov2 or vit_base_patch16_dinov3.')
    return vit
