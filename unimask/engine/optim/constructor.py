"""The published parameter groups, in as few groups as they need."""
from __future__ import annotations

from collections.abc import Iterator

from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.parameter import Parameter
from torch.optim import Optimizer

from unimask.ops.cpu.adamw import AnyLayoutAdamW
from unimask.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

__all__ = ['GroupedOptimWrapperConstructor']

# Modules all of whose own parameters are kept from decay, and names that are, wherever they are.
UNDECAYED = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm,
             nn.Embedding)
UNDECAYED_NAMES = ('relative_position_bias_table', 'absolute_pos_embed')
FUSED = {'Adam': 'Adam', 'AdamW': AnyLayoutAdamW}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor:
    """Builds the optimiser with one parameter group per learning rate and weight decay.

    The backbone learns at a multiple of the learning rate. Norms, embeddings and position bias
    tables are not decayed; everything else is, biases included. Frozen parameters are left out.
    Adam and AdamW run fused unless the config says otherwise or the device cannot.

    Args:
        optim_wrapper_cfg: Config of the optimiser wrapper with the key ``optimizer``, whose ``lr``
            and ``weight_decay`` are the base values.
        paramwise_cfg: ``dict(backbone_lr_mult=0.1)``, the only option. None means 1.

    Raises:
        ValueError: If ``paramwise_cfg`` has another key, or base values are missing.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        options = dict(paramwise_cfg or {})
        self.backbone_lr_mult = float(options.pop('backbone_lr_mult', 1.0))
        if options:
            raise ValueError(f'optim_wrapper.paramwise_cfg: unknown keys {sorted(options)}; '
                             'backbone_lr_mult is the only one')
        self.wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = dict(self.wrapper_cfg.pop('optimizer', {}))
        absent = {'type', 'lr', 'weight_decay'} - set(self.optimizer_cfg)
        if absent:
            raise ValueError(f'optim_wrapper.optimizer lacks {", ".join(sorted(absent))}')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimiser wrapper of a model, which may be wrapped for distribution."""
        groups = self.groups(getattr(model, 'module', model))
        return OPTIM_WRAPPERS.build({'type': 'OptimWrapper', **self.wrapper_cfg},
                                    default_args=dict(optimizer=self._optimizer(groups)))

    def groups(self, model: nn.Module) -> list[dict]:
        """Parameter groups with ``lr`` and ``weight_decay``, that of the full rate first."""
        found: dict[tuple[float, float], list[Parameter]] = {}
        for name, module, parameter in _trainable(model):
            found.setdefault(self._settings(name, module), []).append(parameter)
        return [dict(params=parameters, lr=lr, weight_decay=decay)
                for (lr, decay), parameters in sorted(found.items(), reverse=True,
                                                      key=lambda item: item[0])]

    def _settings(self, name: str, module: nn.Module) -> tuple[float, float]:
        scale = self.backbone_lr_mult if 'backbone' in name.split('.') else 1.0
        undecayed = (isinstance(module, UNDECAYED)
                     or name.rpartition('.')[2] in UNDECAYED_NAMES)
        decay = 0.0 if undecayed else self.optimizer_cfg['weight_decay']
        return self.optimizer_cfg['lr'] * scale, decay

    def _optimizer(self, groups: list[dict]) -> Optimizer:
        # torch's optimisers are registered in MMEngine's own scope
        cfg = {'_scope_': 'mmengine', **self.optimizer_cfg, 'params': groups}
        if cfg['type'] in FUSED and not {'fused', 'foreach'} & set(cfg):
            try:
                return OPTIMIZERS.build(dict(cfg, type=FUSED[cfg['type']], fused=True))
            except RuntimeError:  # no fused kernel for this device: torch's default instead
                pass
        return OPTIMIZERS.build(cfg)


def _trainable(model: nn.Module) -> Iterator[tuple[str, nn.Module, Parameter]]:
    """Full name, owner and value of each parameter that learns; shared ones once."""
    seen: set[Parameter] = set()
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield f'{prefix}.{name}' if prefix else name, module, parameter
