"""Any hierarchical backbone of timm by its name."""

from __future__ import annotations

import difflib

import timm
import torch
from mmengine.model import BaseModule
from timm.layers import Format, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unimask.errors import UserError
from unimask.registry import MODELS

__all__ = ['TimmBackbone']

STRIDES = (4, 8, 16, 32)


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """Feature maps of a timm model.

    Args:
        model_name: What ``timm.create_model`` calls it.
        out_indices: Which of timm's feature maps to return. None takes those of stride 4, 8, 16
            and 32, which is what the pixel decoders expect.
        pretrained: Let timm download its ImageNet weights. Weights from a file, an installed
            package or a URL are named in the model's ``init_cfg`` instead.
        norm_eval: Keep batch norms on their stored statistics in training, for small batches.
        norm_cfg: Batch norms as in MMDetection: ``type`` is ``BN``, or ``SyncBN`` for norms over
            all GPUs together; with ``requires_grad=False`` they do not learn.
        model_args: More arguments of the timm model, e.g. ``dict(drop_path_rate=0.1)``, or
            ``dict(img_size=(512, 512))`` for models that are made for one size.

    Attributes:
        out_channels: Channels of each returned map.
        strides: Stride of each returned map.

    Raises:
        UserError: If timm has no such model, or the model no such feature maps.
    """

    def __init__(self, *, model_name: str, out_indices: tuple[int, ...] | None = None,
                 pretrained: bool = False, norm_eval: bool = False, norm_cfg: dict | None = None,
                 model_args: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.model_name = model_name
        self.body = _with_norms(
            _create(model_name, out_indices, pretrained, model_args or {}), norm_cfg or {})
        strides = self.body.feature_info.reduction()
        channels = self.body.feature_info.channels()
        self.kept = (_select(model_name, strides) if out_indices is None
                     else tuple(range(len(strides))))
        self.strides = tuple(strides[index] for index in self.kept)
        self.out_channels = tuple(channels[index] for index in self.kept)
        self.channels_last = getattr(self.body, 'output_fmt', None) == Format.NHWC
        self.norm_eval = norm_eval
        self.register_load_state_dict_pre_hook(_accept_timm_names)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Feature maps (B, out_channels[i], H/strides[i], W/strides[i]) of images (B,3,H,W)."""
        try:
            maps = self.body(images)
        except (AssertionError, RuntimeError) as error:
            self._explain(error, tuple(images.shape[-2:]))
            raise
        maps = [maps[index] for index in self.kept]
        return tuple(each.permute(0, 3, 1, 2) if self.channels_last else each for each in maps)

    def _explain(self, error: Exception, size: tuple[int, int]) -> None:
        """Raise a clear error where the model was made for images of one size."""
        made_for = timm.get_pretrained_cfg(self.model_name).input_size[-2:]
        if size != made_for and not isinstance(error, torch.OutOfMemoryError):
            raise UserError(
                f'timm\'s "{self.model_name}" does not take images of {size[0]} x {size[1]} '
                f'({str(error).splitlines()[0]}); it was made for {made_for[0]} x {made_for[1]}. '
                'Choose a model for any size (ResNet, ConvNeXt, Swin, PVTv2, ...), or a crop and '
                'model.backbone.model_args=dict(img_size=(H, W)) that fit.') from error

    def train(self, mode: bool = True) -> TimmBackbone:
        """Switch the training mode, except for batch norms that stay as they are."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def _create(name: str, out_indices: tuple[int, ...] | None, pretrained: bool, args: dict
            ) -> nn.Module:
    if not timm.is_model(name):
        close = difflib.get_close_matches(name.split('.')[0], timm.list_models(), n=3)
        raise UserError(f'timm {timm.__version__} has no model "{name}".'
                         + (f' Did you mean {", ".join(close)}?' if close else ''))
    args = dict(args, **({} if out_indices is None else dict(out_indices=tuple(out_indices))))
    try:
        if name.startswith('swin'):  # windows can be padded: any size will do
            args.setdefault('strict_img_size', False)
        return timm.create_model(name, pretrained=pretrained, features_only=True, **args)
    except (RuntimeError, AttributeError, AssertionError, IndexError) as error:
        if 'weights_only' in str(error):  # timm's advice would run code from the file
            raise UserError(
                f'timm cannot read the weights for "{name}" without running code from the file, '
                "and did not. Name them in model.init_cfg: dict(type='PretrainedBackbone', "
                'checkpoint=FILE).') from error
        raise UserError(f'timm\'s "{name}" gives no feature maps with {args}: {error}') from error
    except OSError as error:
        raise UserError(
            f'timm cannot fetch the weights of "{name}" ({type(error).__name__}). With '
            'pretrained=False, model.init_cfg can name a file that is already here') from error


def _with_norms(body: nn.Module, norm_cfg: dict) -> nn.Module:
    """A model with the batch norms that a config asks for.

    Raises:
        UserError: It asks for others.
    """
    unknown = norm_cfg.keys() - {'type', 'requires_grad'}
    kind = norm_cfg.get('type', 'BN')
    if unknown or kind not in ('BN', 'SyncBN'):
        raise UserError(
            f"model.backbone.norm_cfg={dict(norm_cfg)}: timm's batch norms can be "
            "dict(type='BN') or dict(type='SyncBN'), with requires_grad=True or False.")
    if kind == 'SyncBN':
        body = convert_sync_batchnorm(body)
    for module in body.modules():
        if isinstance(module, _BatchNorm) and module.affine:
            module.requires_grad_(norm_cfg.get('requires_grad', True))
    return body


def _select(name: str, strides: list[int]) -> tuple[int, ...]:
    """Index of the last feature map of every stride that is wanted."""
    last = {stride: index for index, stride in enumerate(strides)}
    if not set(STRIDES) <= set(last):
        raise UserError(
            f'timm\'s "{name}" has feature maps of stride {sorted(set(strides))}; stride 4, 8, 16 '
            'and 32 are needed. Choose a hierarchical model, or state out_indices')
    return tuple(last[stride] for stride in STRIDES)


def _accept_timm_names(module: TimmBackbone, state_dict: dict[str, Tensor], prefix: str,
                       *_: object) -> None:
    """Rename tensors under timm's own names, whose first levels timm's feature wrapper changes."""
    own = {prefix + name for name in nn.Module.state_dict(module)}
    for key in [key for key in state_dict if key.startswith(prefix) and key not in own]:
        name = key.removeprefix(prefix)
        for renamed in (f'body.{name}', f'body.{name.replace(".", "_", 1)}', f'body.model.{name}'):
            if prefix + renamed in own:
                state_dict[prefix + renamed] = state_dict.pop(key)
                break
