"""Swin Transformer of timm's modules, with the numbers of the published segmentation models.

timm's own model is for classification. Where a map is no multiple of the window it shifts the map
before it pads it, so that pixels attend to others than in training; it takes a smaller window, and
no shift, where a map is as small as a window; and it has no norms for the maps of the stages. Here
the order, the window and the norms are those of the models that segment (Swin Transformer,
section 4.3, and Mask2Former, appendix A).

Shapes: B images, (H, W) the size of a map, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from mmengine.model import BaseModule
from timm.layers import PatchEmbed, trunc_normal_
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.registry import MODELS

__all__ = ['TimmSwin']


@MODELS.register_module()
class TimmSwin(BaseModule):
    """Swin Transformer; parameters have the names that timm gives them, beside ``norm{i}``.

    Args:
        embed_dims: C of the first stage; it doubles from stage to stage.
        depths: Blocks of each stage.
        num_heads: Attention heads of each stage.
        window_size: Edge of the windows, in tokens.
        mlp_ratio: Hidden channels of a block over C.
        qkv_bias: Whether queries, keys and values have a bias.
        patch_size: Edge of the patches, in pixels, which is the stride of the first stage.
        drop_path_rate: Of the last block; the others' grow from 0 in equal steps.
        init_cfg: As in MMEngine.

    Attributes:
        out_channels: C of each map.
        strides: Stride of each map.
        fresh_parameters: What ImageNet weights do not have.

    Raises:
        UserError: The lengths differ, or the heads of a stage do not divide its channels.
    """

    fresh_parameters = ('norm0', 'norm1', 'norm2', 'norm3')

    def __init__(self, *, embed_dims: int = 96, depths: Sequence[int] = (2, 2, 6, 2),
                 num_heads: Sequence[int] = (3, 6, 12, 24), window_size: int = 7,
                 mlp_ratio: float = 4.0, qkv_bias: bool = True, patch_size: int = 4,
                 drop_path_rate: float = 0.1, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.out_channels = tuple(embed_dims * 2**stage for stage in range(len(depths)))
        self.strides = tuple(patch_size * 2**stage for stage in range(len(depths)))
        _check_heads(self.out_channels, num_heads)
        rates = iter(torch.linspace(0, drop_path_rate, sum(depths), device='cpu').tolist())
        self.patch_embed = PatchEmbed(
            None, patch_size, embed_dim=embed_dims, norm_layer=nn.LayerNorm, output_fmt='NHWC',
            dynamic_img_pad=True)
        self.layers = nn.ModuleList(
            _Stage(channels, heads=heads, rates=list(islice(rates, depth)), first=stage == 0,
                   window=window_size, mlp_ratio=mlp_ratio, qkv_bias=qkv_bias)
            for stage, (channels, heads, depth)
            in enumerate(zip(self.out_channels, num_heads, depths, strict=True)))
        for stage, channels in enumerate(self.out_channels):
            self.add_module(f'norm{stage}', nn.LayerNorm(channels))

    def init_weights(self) -> None:
        """Fresh weights as in the Swin authors' code, then ``init_cfg``."""
        self.apply(_initialise)
        super().init_weights()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps (B, out_channels[i], H / strides[i], W / strides[i]) of images (B, 3, H, W).

        Sizes are rounded up.
        """
        x = self.patch_embed(images)
        maps = []
        for stage, layer in enumerate(self.layers):
            x = layer(x)
            maps.append(getattr(self, f'norm{stage}')(x).permute(0, 3, 1, 2))
        return tuple(maps)


class _Stage(nn.Module):
    """Patch merging, except in the first stage, and blocks; every second one is shifted."""

    def __init__(self, channels: int, *, heads: int, rates: list[float], first: bool, window: int,
                 mlp_ratio: float, qkv_bias: bool) -> None:
        super().__init__()
        self.downsample = nn.Identity() if first else PatchMerging(channels // 2)
        self.blocks = nn.Sequential(*(
            PaddedBlock(
                channels, (window, window), num_heads=heads, window_size=window,
                shift_size=window // 2 * (index % 2), always_partition=True, dynamic_mask=True,
                mlp_ratio=mlp_ratio, qkv_bias=qkv_bias, drop_path=rate)
            for index, rate in enumerate(rates)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> the same, or (B, H / 2, W / 2, 2 C) rounded up, after the first."""
        return self.blocks(self.downsample(x))


class PaddedBlock(SwinTransformerBlock):
    """timm's block on a map that is padded to whole windows before it is shifted."""

    def _attn(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        down, right = (-size % edge for size, edge in zip((height, width), self.window_size,
                                                          strict=True))
        padded = nn.functional.pad(x, (0, 0, 0, right, 0, down))
        return super()._attn(padded)[:, :height, :width]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _check_heads(channels: Sequence[int], heads: Sequence[int]) -> None:
    if len(channels) != len(heads) or any(
            width % count for width, count in zip(channels, heads, strict=True)):
        raise UserError(
            f'model.backbone.num_heads={tuple(heads)}: every stage needs a number of heads that '
            f'divides its channels, which are {", ".join(map(str, channels))}.')
