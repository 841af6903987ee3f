"""ResNet and Swin by MMDetection's names and options, made of timm's modules.

A published config or a checkpoint that names ``mmdet.ResNet`` or ``mmdet.SwinTransformer`` thereby
works without MMDetection, with the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unimask.errors import UserError
from unimask.models.backbones.swin import TimmSwin
from unimask.models.backbones.timm import TimmBackbone
from unimask.stand_ins import stands_in
from unimask.utils.extras import INSTALL

__all__ = ['mmdet_resnet', 'mmdet_swin', 'mmseg_resnet', 'mmseg_swin']

# Further options -> their values with which timm's modules compute the same.
_OUTPUTS = dict(in_channels=(3,), out_indices=((0, 1, 2, 3),), frozen_stages=(-1,),
                with_cp=(False,), pretrained=(None,))
_RESNET = dict(
    _OUTPUTS, num_stages=(4,), strides=((1, 2, 2, 2),), dilations=((1, 1, 1, 1),),
    stem_channels=(64, None), base_channels=(64,), style=('pytorch',), deep_stem=(False,),
    avg_down=(False,), conv_cfg=(None,), dcn=(None,), plugins=(None,), multi_grid=(None,),
    zero_init_residual=(True,))
_SWIN = dict(
    _OUTPUTS, patch_norm=(True,), qk_scale=(None,), drop_rate=(0,), attn_drop_rate=(0,),
    use_abs_pos_embed=(False,), act_cfg=(dict(type='GELU'),), norm_cfg=(dict(type='LN'),))
# Options that change no number of a model without absolute positions.
_IDLE = ('pretrain_img_size', 'convert_weights', 'contract_dilation', 'stage_with_dcn')


@stands_in('mmdet.ResNet')
def mmdet_resnet(*, depth: int, norm_cfg: Mapping[str, Any] | None = None, norm_eval: bool = True,
                 init_cfg: dict | None = None, **others: Any) -> TimmBackbone:
    """``mmdet.ResNet`` as timm's.

    Raises:
        UserError: timm's does not compute the same with one of the options.
    """
    _check(others, _RESNET, 'mmdet.ResNet')
    return _resnet(depth, norm_cfg, norm_eval=norm_eval, init_cfg=init_cfg)


@stands_in('mmseg.ResNet')
def mmseg_resnet(*, depth: int, norm_cfg: Mapping[str, Any] | None = None,
                 norm_eval: bool = False, init_cfg: dict | None = None, **others: Any
                 ) -> TimmBackbone:
    """``mmseg.ResNet``, whose norms learn by default, as timm's; raises like the other."""
    _check(others, _RESNET, 'mmseg.ResNet')
    return _resnet(depth, norm_cfg, norm_eval=norm_eval, init_cfg=init_cfg)


def _resnet(depth: int, norm_cfg: Mapping[str, Any] | None, *, norm_eval: bool,
            init_cfg: dict | None) -> TimmBackbone:
    return TimmBackbone(model_name=f'resnet{depth}', norm_cfg=dict(norm_cfg or {}),
                        norm_eval=norm_eval, init_cfg=init_cfg)


@stands_in('mmdet.SwinTransformer')
def mmdet_swin(*, embed_dims: int = 96, depths: Sequence[int] = (2, 2, 6, 2),
               num_heads: Sequence[int] = (3, 6, 12, 24), window_size: int = 7,
               mlp_ratio: int = 4, qkv_bias: bool = True, patch_size: int = 4,
               strides: Sequence[int] = (4, 2, 2, 2), drop_path_rate: float = 0.1,
               init_cfg: dict | None = None, **others: Any) -> TimmSwin:
    """``mmdet.SwinTransformer`` as :class:`TimmSwin`.

    Raises:
        UserError: That does not compute the same with one of the options.
    """
    alike = dict(_SWIN, strides=((patch_size, 2, 2, 2),))
    _check(dict(others, strides=strides), alike, 'mmdet.SwinTransformer')
    return TimmSwin(
        embed_dims=embed_dims, depths=depths, num_heads=num_heads, window_size=window_size,
        mlp_ratio=mlp_ratio, qkv_bias=qkv_bias, patch_size=patch_size,
        drop_path_rate=drop_path_rate, init_cfg=init_cfg)


mmseg_swin = stands_in('mmseg.SwinTransformer')(mmdet_swin)


def _check(options: Mapping[str, Any], alike: Mapping[str, tuple], name: str) -> None:
    for option, value in options.items():
        value = tuple(value) if isinstance(value, list) else value
        if option not in _IDLE and value not in alike.get(option, ()):
            raise UserError(
                f'model.backbone: {name} with {option}={value!r} is a model that timm has not; it '
                f'needs the full installation: {INSTALL}')
