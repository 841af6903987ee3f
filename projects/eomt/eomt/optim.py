"""How EoMT learns: less in earlier blocks of the ViT, and the ViT later than the rest."""

from __future__ import annotations

from mmengine.optim import OptimWrapper, _ParamScheduler
from torch import nn
from torch.optim import Optimizer

from unimask.engine.optim import GroupedOptimWrapperConstructor
from unimask.errors import UserError
from unimask.registry import OPTIM_WRAPPER_CONSTRUCTORS, PARAM_SCHEDULERS

__all__ = ['LayerDecayConstructor', 'TwoStageWarmupPolyLR', 'layer_rates']


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(GroupedOptimWrapperConstructor):
    """Layer-wise decay of the learning rate over the blocks of ``backbone.vit``.

    With a decay of d and N blocks, block i (from 0) learns at d^(N - i) of the rate, the patch and
    position embeddings at d^(N + 1), and what follows the blocks at the rate itself, as in BEiT.
    Groups of the ViT are marked with ``pretrained=True``, for :class:`TwoStageWarmupPolyLR`.

    Args:
        optim_wrapper_cfg: As for ``GroupedOptimWrapperConstructor``.
        paramwise_cfg: As there, and ``layer_decay``, the d of above; 1 unless stated.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        options = dict(paramwise_cfg or {})
        self.layer_decay = float(options.pop('layer_decay', 1.0))
        if not 0 < self.layer_decay <= 1:
            raise UserError('optim_wrapper.paramwise_cfg.layer_decay must be above 0 and at most '
                            f'1, not {self.layer_decay}.')
        super().__init__(optim_wrapper_cfg, options)

    def groups(self, model: nn.Module) -> list[dict]:
        """Parameter groups, those of the ViT apart from those of the rest."""
        learning = [name for name, each in model.named_parameters() if each.requires_grad]
        rates = layer_rates(len(model.backbone.vit.blocks), self.layer_decay)
        self.custom_keys = {
            **{key: dict(lr_mult=rate) for key, rate in rates.items()
               if any(key in name for name in learning)},
            **self.custom_keys}
        pretrained = {id(parameter) for parameter in model.backbone.parameters()}
        groups = []
        for group in super().groups(model):
            for inside in (False, True):
                params = [each for each in group['params'] if (id(each) in pretrained) == inside]
                if params:
                    groups.append(dict(group, params=params, pretrained=inside))
        return groups


def layer_rates(depth: int, decay: float) -> dict[str, float]:
    """Part of a parameter's name -> share of the learning rate, for a ViT with ``depth`` blocks."""
    return {'backbone.vit.': decay ** (depth + 1), 'backbone.vit.norm.': 1.0,
            **{f'backbone.vit.blocks.{index}.': decay ** (depth - index)
               for index in range(depth)}}


@PARAM_SCHEDULERS.register_module()
class TwoStageWarmupPolyLR(_ParamScheduler):
    """A linear warm-up of what is new, then one of the ViT, and polynomial decay.

    The ViT's rate is 0 while the rest is warmed up, and everything decays from the end of its own
    warm-up to 0 at ``end``.

    Args:
        optimizer: Optimizer or its wrapper, with the groups of :class:`LayerDecayConstructor`.
        end: Iteration at which the rates are 0: the length of the training.
        warmup: Iterations of the two warm-ups.
        power: Exponent of the decay.
        last_step: Last step that was taken, for resuming without a state.
        by_epoch: False: steps are iterations.
        verbose: Print every rate.

    Raises:
        UserError: The warm-ups are longer than the training, or ``by_epoch`` is true.
    """

    def __init__(self, optimizer: Optimizer | OptimWrapper, *, end: int,
                 warmup: tuple[int, int] = (500, 1000), power: float = 0.9, last_step: int = -1,
                 by_epoch: bool = False, verbose: bool = False) -> None:
        if by_epoch:
            raise UserError('TwoStageWarmupPolyLR counts iterations: by_epoch=False.')
        if sum(warmup) >= end:
            raise UserError(f'TwoStageWarmupPolyLR: warm-ups of {warmup[0]} and {warmup[1]} '
                            f'iterations do not fit into a training of {end}.')
        self.length, self.warmup, self.power = end, tuple(warmup), power
        super().__init__(optimizer, param_name='lr', by_epoch=False, last_step=last_step,
                         verbose=verbose)

    def _get_value(self) -> list[float]:
        return [base * self.factor(self.last_step, pretrained=group.get('pretrained', False))
                for base, group in zip(self.base_values, self.optimizer.param_groups, strict=True)]

    def factor(self, step: int, *, pretrained: bool) -> float:
        """Share of its rate at which a group learns in an iteration."""
        start, length = (self.warmup[0], self.warmup[1]) if pretrained else (0, self.warmup[0])
        if step < start + length:
            return max(0.0, (step - start) / length)
        return max(0.0, 1 - (step - start - length) / (self.length - start - length)) ** self.power
