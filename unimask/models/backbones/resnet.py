"""Residual networks whose stages have any depth and width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from unimask.errors import UserError
from unimask.registry import MODELS
from unimask.utils.extras import quietly, require

__all__ = ['StagedResNet']


@MODELS.register_module()
def StagedResNet(*, depths: Sequence[int], widths: Sequence[int], bottleneck: bool = True,
                 stem_channels: int = 64, strides: Sequence[int] = (1, 2, 2, 2),
                 out_indices: Sequence[int] = (0, 1, 2, 3), style: str = 'pytorch',
                 norm_eval: bool = True, norm_cfg: dict | None = None,
                 init_cfg: dict | None = None) -> nn.Module:
    """MMDetection's ResNet with freely chosen stages, as Hugging Face's config can state them.

    ResNets of the usual depths, whose width doubles from stage to stage, are ``mmdet.ResNet``.
    The names of the parameters are the same.

    Args:
        depths: Blocks of each stage, up to four.
        widths: Output channels of each stage.
        bottleneck: Whether blocks have three convolutions, the middle one a quarter as wide.
        stem_channels: Channels before the first stage.
        strides: Of each stage.
        out_indices: Stages whose maps are returned.
        style: ``pytorch`` for the stride in the 3x3 convolution of a bottleneck, ``caffe`` for
            that in the first one.
        norm_eval: Keep batch norms on their stored statistics in training.
        norm_cfg: As in MMDetection.
        init_cfg: As in MMEngine.

    Raises:
        UserError: The lengths differ, four does not divide the width of a bottleneck, or
            MMDetection is not installed.
    """
    if not len(depths) == len(widths) == len(strides) <= 4:
        raise UserError(f'model.backbone: depths={depths}, widths={widths} and '
                        f'strides={strides} must name the same stages, four at most.')
    expansion = 4 if bottleneck else 1
    uneven = [width for width in widths if width % expansion]
    if uneven:
        raise UserError(f'model.backbone.widths: a bottleneck is {expansion} times as '
                        f'wide as its middle, but {uneven[0]} is no multiple of that.')
    network = _network(tuple(depths), tuple(widths), bottleneck=bottleneck)
    return network(
        0, stem_channels=stem_channels, num_stages=len(depths), strides=tuple(strides),
        dilations=(1,) * len(depths), out_indices=tuple(out_indices), style=style,
        norm_eval=norm_eval, norm_cfg=norm_cfg or dict(type='BN', requires_grad=True),
        init_cfg=init_cfg)


def _network(depths: tuple[int, ...], widths: tuple[int, ...], *, bottleneck: bool) -> type:
    """A ResNet of MMDetection's for these stages; imported here, as it takes seconds."""
    require('mmdet', owner='StagedResNet')
    with quietly():
        from mmdet.models.backbones.resnet import BasicBlock, Bottleneck, ResNet
    block = Bottleneck if bottleneck else BasicBlock

    class StagedResNet(ResNet):
        arch_settings = {0: (block, depths)}

        def make_res_layer(self, **options: Any) -> nn.Module:
            """A stage, with the width that is wanted instead of the one of the usual ResNets."""
            stage = len(self.res_layers)
            if stage:
                options['inplanes'] = widths[stage - 1]
            return super().make_res_layer(
                **dict(options, planes=widths[stage] // block.expansion))

    return StagedResNet
