"""Channels of a backbone's feature maps, so that a config need not repeat them."""

from __future__ import annotations

from torch import nn


def out_channels(backbone: nn.Module) -> tuple[int, ...] | None:
    """Channels of the maps that a backbone returns, None where it does not tell.

    Knows backbones with an ``out_channels`` sequence, and ResNets, Swin and Mix Transformers of
    MMDetection and MMSegmentation.
    """
    stated = getattr(backbone, 'out_channels', None)
    if isinstance(stated, list | tuple):
        return tuple(stated)
    stages = stage_widths(backbone)
    if stages is None:
        return None
    return tuple(stages[index] for index in backbone.out_indices)


def stage_widths(backbone: nn.Module) -> list[int] | None:
    """Channels at the end of every stage, returned or not; None for an unknown backbone."""
    if hasattr(backbone, 'num_features') and hasattr(backbone, 'stages'):  # Swin
        return list(backbone.num_features)
    if hasattr(backbone, 'res_layers'):  # ResNet
        return [_last_width(getattr(backbone, name)) for name in backbone.res_layers]
    if hasattr(backbone, 'embed_dims') and hasattr(backbone, 'num_heads'):  # Mix Transformer
        heads = list(backbone.num_heads)
        return [backbone.embed_dims * count for count in heads]
    return None


def _last_width(stage: nn.Module) -> int:
    """Output channels of a residual stage: those of its last convolution."""
    convolutions = [m for m in stage[-1].modules() if isinstance(m, nn.Conv2d)]
    expansion = getattr(stage[-1], 'expansion', 1)
    planes = getattr(stage[-1], 'planes', None)
    return planes * expansion if planes is not None else convolutions[-1].out_channels
