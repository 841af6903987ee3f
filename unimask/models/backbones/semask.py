"""SeMask: semantic layers at the stages of any hierarchical encoder.

Shapes: B images, K classes, C_i channels and (h_i, w_i) tokens of stage i.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial
from typing import Literal

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.backbones.info import out_channels
from unimask.models.backbones.stages import Layout, StageEnd, stage_ends
from unimask.models.layers.semantic import SemanticInit, SemanticLayer
from unimask.registry import MODELS, build
from unimask.structures import BackboneFeatures

__all__ = ['SeMaskEncoder', 'SeMaskMiT', 'SeMaskSwin']

DEAD = ("SeMask: semantic_init='zero_res' is the published behaviour of the mask classifiers: the "
        'semantic attention starts without effect and never gets a gradient, so that only the '
        "norms and the auxiliary loss remain of SeMask. 'trunc_normal' lets it learn.")

# Class scores (B, K, h_i, w_i) by stage that one call of an encoder has made so far.
_SCORES: ContextVar[dict[int, Tensor]] = ContextVar('scores of the stages')


@MODELS.register_module()
class SeMaskEncoder(BaseModule):
    """An encoder with a semantic layer after the blocks of every stage (SeMask, section 3).

    What a layer makes of the tokens goes where the blocks' result would have gone: into the next
    stage's down-sampling, and into the map that the encoder puts out. The encoder's own
    parameters are those of an undecorated one below ``encoder.``; a state dict of one loads.

    Args:
        encoder: Config or object: a Swin, Mix Transformer or ResNet of MMDetection or
            MMSegmentation, or a ``TimmBackbone``.
        num_classes: K; the segmentor fills it in from its taxonomy.
        windows: For each stage the side of the windows in which tokens attend to each other, None
            for the whole map.
        blocks: For each stage the number of semantic attentions in a row.
        semantic_init: ``trunc_normal``, or ``zero_res``, with which the semantic attention never
            learns (see :class:`~unimask.models.layers.semantic.SemanticAttention`).
        trunk_norm: Whether the layers' norm acts on what goes on, as published (see
            :class:`~unimask.models.layers.semantic.SemanticLayer`).
        init_cfg: As in MMEngine.

    Attributes:
        out_channels: Channels of each map.
        fresh_parameters: What ImageNet weights do not have.

    Raises:
        UserError: The encoder has no stages, or ``windows`` or ``blocks`` do not fit them.
    """

    fresh_parameters = ('semantic_layers',)

    def __init__(self, *, encoder: dict | nn.Module, num_classes: int,
                 windows: Sequence[int | None] = (7, 7, None, None),
                 blocks: Sequence[int] = (1, 1, 1, 1),
                 semantic_init: SemanticInit = 'trunc_normal', trunk_norm: bool = True,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.encoder = build(MODELS, encoder)
        ends = stage_ends(self.encoder)
        _check_lengths(ends, windows=windows, blocks=blocks)
        self.semantic_layers = nn.ModuleList(
            SemanticLayer(end.width, num_classes, window=window, blocks=count, init=semantic_init,
                          trunk_norm=trunk_norm)
            for end, window, count in zip(ends, windows, blocks, strict=True))
        self.out_channels = out_channels(self.encoder)
        for stage, end in enumerate(ends):
            # A partial of a method: a copy of the model refers to its own layers.
            end.module.register_forward_hook(
                partial(self._attend, stage, end.layout), prepend=True)
        self.register_load_state_dict_pre_hook(_accept_undecorated_names)
        if semantic_init == 'zero_res':
            print_log(DEAD, logger='current', level=logging.WARNING)

    def forward(self, images: Tensor) -> BackboneFeatures:
        """Images (B, 3, H, W) -> the encoder's maps, and class scores (B, K, h_i, w_i)."""
        scores: dict[int, Tensor] = {}
        token = _SCORES.set(scores)
        try:
            maps = self.encoder(images)
        finally:
            _SCORES.reset(token)
        return BackboneFeatures(tuple(maps), tuple(scores[stage] for stage in sorted(scores)))

    def _attend(self, stage: int, layout: Layout, module: nn.Module, inputs: tuple,
                output: Tensor) -> Tensor:
        """What goes on from the end of a stage, given what its blocks put out."""
        semantic, x = self.semantic_layers[stage](layout.to_map(output, inputs))
        _SCORES.get()[stage] = semantic.permute(0, 3, 1, 2)
        return layout.from_map(x)


def _check_lengths(ends: Sequence[StageEnd], **options: Sequence) -> None:
    for name, values in options.items():
        if isinstance(values, int) or values is None or len(values) != len(ends):
            raise UserError(
                f'model.backbone.{name} needs one value for each of the {len(ends)} stages, '
                f'such as {(7, 7, None, None) if name == "windows" else (1,) * len(ends)}, '
                f'not {values!r}.')


def _accept_undecorated_names(module: SeMaskEncoder, state_dict: dict[str, Tensor], prefix: str,
                              *_: object) -> None:
    """Take the names of the undecorated encoder too, of ImageNet weights for example."""
    own = ('encoder.', 'semantic_layers.')
    for key in [key for key in state_dict if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        if not name.startswith(own):
            state_dict[f'{prefix}encoder.{name}'] = state_dict.pop(key)


SwinSize = Literal['tiny', 'small', 'base', 'large']
SWIN = {
    'tiny': dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), window_size=7),
    'small': dict(embed_dims=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), window_size=7),
    'base': dict(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window_size=12),
    'large': dict(embed_dims=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), window_size=12),
}
PRETRAIN_SIZE = {7: 224, 12: 384}


@MODELS.register_module()
class SeMaskSwin(SeMaskEncoder):
    """SeMask's published encoders: MMDetection's Swin with semantic layers.

    Args:
        size: ``tiny``, ``small``, ``base`` or ``large``; the last two have windows of 12.
        num_classes: See :class:`SeMaskEncoder`, as for the others.
        windows: Published are, by task and size, windows in all stages, in all but the last one
            and in the first two; of 7 tokens for ``tiny`` and ``small``, of 12 for the others
            (but of 7 in Mask2Former for Cityscapes).
        blocks: Published is one for each stage.
        semantic_init: See :class:`SeMaskEncoder`.
        drop_path_rate: Of the encoder.
        init_cfg: As in MMEngine.

    Raises:
        UserError: There is no such size, or ``windows`` or ``blocks`` do not fit.
    """

    def __init__(self, *, size: SwinSize, num_classes: int, windows: Sequence[int | None],
                 blocks: Sequence[int] = (1, 1, 1, 1),
                 semantic_init: SemanticInit = 'trunc_normal', drop_path_rate: float = 0.3,
                 init_cfg: dict | None = None) -> None:
        settings = _of_size(SWIN, size)
        encoder = dict(type='mmdet.SwinTransformer', drop_path_rate=drop_path_rate,
                       pretrain_img_size=PRETRAIN_SIZE[settings['window_size']], **settings)
        super().__init__(encoder=encoder, num_classes=num_classes, windows=windows, blocks=blocks,
                         semantic_init=semantic_init, init_cfg=init_cfg)


MiTSize = Literal['b0', 'b1', 'b2', 'b3', 'b4', 'b5']
MIT = {
    'b0': dict(embed_dims=32, num_layers=(2, 2, 2, 2)),
    'b1': dict(embed_dims=64, num_layers=(2, 2, 2, 2)),
    'b2': dict(embed_dims=64, num_layers=(3, 4, 6, 3)),
    'b3': dict(embed_dims=64, num_layers=(3, 4, 18, 3)),
    'b4': dict(embed_dims=64, num_layers=(3, 8, 27, 3)),
    'b5': dict(embed_dims=64, num_layers=(3, 6, 40, 3)),
}


@MODELS.register_module()
class SeMaskMiT(SeMaskEncoder):
    """MMSegmentation's Mix Transformer with semantic layers.

    SeMask's paper names it, but neither code nor weights were published: this is built by the
    rule of the published Swin, windows in the first two stages.

    Args:
        size: ``b0`` to ``b5`` (SegFormer, table 6).
        num_classes: See :class:`SeMaskEncoder`, as for the others.
        windows: See :class:`SeMaskEncoder`.
        blocks: See :class:`SeMaskEncoder`.
        semantic_init: See :class:`SeMaskEncoder`.
        drop_path_rate: Of the encoder.
        init_cfg: As in MMEngine.

    Raises:
        UserError: There is no such size, or ``windows`` or ``blocks`` do not fit.
    """

    def __init__(self, *, size: MiTSize, num_classes: int,
                 windows: Sequence[int | None] = (7, 7, None, None),
                 blocks: Sequence[int] = (1, 1, 1, 1),
                 semantic_init: SemanticInit = 'trunc_normal', drop_path_rate: float = 0.1,
                 init_cfg: dict | None = None) -> None:
        encoder = dict(type='mmseg.MixVisionTransformer', num_heads=(1, 2, 5, 8),
                       drop_path_rate=drop_path_rate, **_of_size(MIT, size))
        super().__init__(encoder=encoder, num_classes=num_classes, windows=windows, blocks=blocks,
                         semantic_init=semantic_init, init_cfg=init_cfg)


def _of_size(sizes: dict[str, dict], size: str) -> dict:
    if size not in sizes:
        raise UserError(f'model.backbone.size must be one of {", ".join(sizes)}, not {size!r}.')
    return sizes[size]
