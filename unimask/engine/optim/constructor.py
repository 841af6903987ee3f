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

from unimask.engine.optim.muon import Muon
from unimask.errors import UserError
from unimask.metadata import is_under, named_by
from unimask.ops.cpu.adamw import AnyLayoutAdamW
from unimask.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

__all__ = ['GroupedOptimWrapperConstructor']

# Modules all of whose own parameters are kept from decay, and names that are, wherever they are.
NORMS = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
UNDECAYED_NAMES = ('relative_position_bias_table', 'absolute_pos_embed')
FUSED = {'Adam': 'Adam', 'AdamW': AnyLayoutAdamW}
_MULTIPLIERS = ('lr_mult', 'decay_mult')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor:
    """Builds the optimiser with one parameter group per learning rate and weight decay.

    Norms, embeddings, position bias tables, and what a component names in ``undecayed`` (see
    :mod:`unimask.metadata`) are not decayed; everything else is, biases included. Frozen
    parameters are left out. Adam and AdamW run fused unless the config says otherwise or the
    device cannot. ``Muon`` is that of timm, not torch's, which cannot update a whole model: it
    orthogonalises the updates of matrices; the others, and what is not decayed, have AdamW.

    Args:
        optim_wrapper_cfg: Config of the optimiser wrapper with the key ``optimizer``, whose ``lr``
            and ``weight_decay`` are the base values.
        paramwise_cfg: Any of

            - ``backbone_lr_mult``: the backbone learns at this multiple of the learning rate;
            - ``norm_decay_mult``: multiple of the weight decay for norms, 0 unless stated;
            - ``custom_keys``: part of a parameter's name -> ``dict(lr_mult=..., decay_mult=...)``.
              The longest part that occurs in a name decides; what it leaves out, the rules above
              and the options before it decide.

    Raises:
        UserError: If ``paramwise_cfg`` has another key, or base values are missing.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        options = dict(paramwise_cfg or {})
        self.backbone_lr_mult = float(options.pop('backbone_lr_mult', 1.0))
        self.norm_decay_mult = float(options.pop('norm_decay_mult', 0.0))
        self.custom_keys = _checked(options.pop('custom_keys', None) or {})
        if options:
            raise UserError(f'optim_wrapper.paramwise_cfg: unknown keys {sorted(options)}; there '
                            'are backbone_lr_mult, norm_decay_mult and custom_keys')
        self.wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = dict(self.wrapper_cfg.pop('optimizer', {}))
        absent = {'type', 'lr', 'weight_decay'} - set(self.optimizer_cfg)
        if absent:
            raise UserError(f'optim_wrapper.optimizer lacks {", ".join(sorted(absent))}')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimiser wrapper of a model, which may be wrapped for distribution."""
        groups = self.groups(getattr(model, 'module', model))
        return OPTIM_WRAPPERS.build({'type': 'OptimWrapper', **self.wrapper_cfg},
                                    default_args=dict(optimizer=self._optimizer(groups)))

    def groups(self, model: nn.Module) -> list[dict]:
        """Parameter groups with ``lr`` and ``weight_decay``, that of the full rate first."""
        places = named_by(model, 'undecayed')
        found: dict[tuple[float, float], list[Parameter]] = {}
        names = []
        for name, module, parameter in _trainable(model):
            decay = 0.0 if is_under(name, places) else self._decay_mult(name, module)
            found.setdefault(self._multiples(name, decay), []).append(parameter)
            names.append(name)
        _check_used(self.custom_keys, names)
        return [self._group(parameters, *multiples)
                for multiples, parameters in sorted(found.items(), reverse=True,
                                                    key=lambda item: item[0])]

    def _group(self, parameters: list[Parameter], lr_mult: float, decay_mult: float) -> dict:
        group = dict(params=parameters, lr=self.optimizer_cfg['lr'] * lr_mult,
                     weight_decay=self.optimizer_cfg['weight_decay'] * decay_mult)
        if self.optimizer_cfg['type'] == 'Muon':
            # a row of an embedding is a vector, not a part of a map
            group['use_fallback'] = decay_mult == 0
        return group

    def _decay_mult(self, name: str, module: nn.Module) -> float:
        """Share of the weight decay that the kind of a parameter gets."""
        if isinstance(module, NORMS):
            return self.norm_decay_mult
        undecayed = isinstance(module, nn.Embedding)
        return 0.0 if undecayed or name.rpartition('.')[2] in UNDECAYED_NAMES else 1.0

    def _multiples(self, name: str, decay_mult: float) -> tuple[float, float]:
        """Multiples of the learning rate and of the weight decay for a parameter."""
        usual = dict(decay_mult=decay_mult, lr_mult=(
            self.backbone_lr_mult if 'backbone' in name.split('.') else 1.0))
        fitting = sorted((key for key in self.custom_keys if key in name), key=len)
        for key in fitting:
            usual.update(self.custom_keys[key])
        return usual['lr_mult'], usual['decay_mult']

    def _optimizer(self, groups: list[dict]) -> Optimizer:
        # torch's optimisers are registered in MMEngine's own scope
        cfg = {'_scope_': 'mmengine', **self.optimizer_cfg, 'params': groups}
        if cfg['type'] == 'Muon':
            cfg['type'] = Muon
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


def _checked(custom_keys: dict) -> dict[str, dict[str, float]]:
    for key, given in custom_keys.items():
        unknown = set(given) - set(_MULTIPLIERS)
        if unknown:
            raise UserError(f'optim_wrapper.paramwise_cfg.custom_keys[{key!r}]: unknown '
                            f'{sorted(unknown)}; there are {" and ".join(_MULTIPLIERS)}')
    return {key: dict(given) for key, given in custom_keys.items()}


def _check_used(custom_keys: dict, names: list[str]) -> None:
    unused = [key for key in custom_keys if not any(key in name for name in names)]
    if unused:
        raise UserError(f'optim_wrapper.paramwise_cfg.custom_keys: {unused[0]!r} occurs in no '
                        f'parameter name ({", ".join(names[:2])}, ..., {names[-1]}).')
