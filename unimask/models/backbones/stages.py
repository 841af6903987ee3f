"""Where the stages of an encoder end: after their blocks, before the down-sampling.

Something that belongs between two stages of a foreign encoder is put there as a forward hook, so
that the encoder's own ``forward`` stays in charge of everything else.

Shapes: B images, (H, W) tokens of a stage, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.backbones.info import stage_widths
from unimask.models.backbones.swin import TimmSwin
from unimask.models.backbones.timm import TimmBackbone

__all__ = ['Layout', 'StageEnd', 'stage_ends']


@dataclass(frozen=True)
class Layout:
    """How a module hands its map on.

    Attributes:
        to_map: Output and further inputs of the module -> (B, H, W, C).
        from_map: The way back, (B, H, W, C) -> output.
    """

    to_map: Callable[[Tensor, tuple], Tensor]
    from_map: Callable[[Tensor], Tensor]


def _tokens_to_map(x: Tensor, inputs: tuple) -> Tensor:
    return x.unflatten(1, inputs[1])  # blocks are called with (B, H W, C) and (H, W)


def _tokens_from_map(x: Tensor) -> Tensor:
    return x.flatten(1, 2)


def _as_it_is(x: Tensor, inputs: tuple = ()) -> Tensor:
    return x


def _channels_to_end(x: Tensor, inputs: tuple) -> Tensor:
    return x.permute(0, 2, 3, 1)


def _channels_to_front(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


# Functions of this module, not lambdas: hooks with them are copied and pickled with a model.
TOKENS = Layout(_tokens_to_map, _tokens_from_map)
CHANNELS_LAST = Layout(_as_it_is, _as_it_is)
CHANNELS_FIRST = Layout(_channels_to_end, _channels_to_front)


@dataclass(frozen=True)
class StageEnd:
    """The place after the blocks of a stage.

    Attributes:
        module: What makes the map that leaves the blocks.
        width: C.
        layout: Of the module's output.
    """

    module: nn.Module
    width: int
    layout: Layout


def stage_ends(encoder: nn.Module) -> tuple[StageEnd, ...]:
    """The ends of all stages, fine to coarse.

    Knows MMDetection's and MMSegmentation's Swin, Mix Transformer and ResNets, and timm's
    backbones. In Swin (``TimmSwin`` too) and Mix Transformer a stage ends before the norm of what
    the encoder puts out; in the others, which have none, with the map that they put out.

    Raises:
        UserError: If the encoder has no stages that are known.
    """
    if isinstance(encoder, TimmBackbone):
        layout = CHANNELS_LAST if encoder.channels_last else CHANNELS_FIRST
        return tuple(StageEnd(_timm_module(encoder, index), width, layout)
                     for index, width in zip(encoder.kept, encoder.out_channels, strict=True))
    if isinstance(encoder, TimmSwin):
        return tuple(StageEnd(layer.blocks[-1], width, CHANNELS_LAST)
                     for layer, width in zip(encoder.layers, encoder.out_channels, strict=True))
    widths = stage_widths(encoder)
    if widths is None:
        raise UserError(
            f'SeMask needs an encoder with stages, and {type(encoder).__name__} has none that are '
            'known. Take a Swin, a Mix Transformer or a ResNet of mmdet. or mmseg., or any '
            "hierarchical model of timm: encoder=dict(type='TimmBackbone', model_name=...).")
    if hasattr(encoder, 'res_layers'):
        places = [(getattr(encoder, name), CHANNELS_FIRST) for name in encoder.res_layers]
    elif hasattr(encoder, 'stages'):
        places = [(stage.blocks[-1], TOKENS) for stage in encoder.stages]
    else:
        places = [(blocks[-1], TOKENS) for _, blocks, _ in encoder.layers]
    return tuple(StageEnd(module, width, layout)
                 for (module, layout), width in zip(places, widths, strict=True))


def _timm_module(encoder: TimmBackbone, index: int) -> nn.Module:
    """What makes one of timm's feature maps; timm's wrapper may rename the first levels."""
    modules = dict(encoder.body.named_modules())
    name = encoder.body.feature_info.module_name(index)
    for known in (name, name.replace('.', '_', 1), f'model.{name}'):
        if known in modules:
            return modules[known]
    raise UserError(
        f'SeMask needs an encoder with stages: timm\'s "{encoder.model_name}" makes a feature map '
        f'at "{name}", where it has no module. Take another model, such as a ResNet, ConvNeXt, '
        'Swin or PVTv2.')
