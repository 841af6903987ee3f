"""AdamW for weights of any memory layout."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ['AnyLayoutAdamW']


class AnyLayoutAdamW(torch.optim.AdamW):
    """torch's AdamW, whose fused CPU kernel runs through memory without looking at strides.

    With ``channels_last`` weights that kernel makes a copy that it does not need, and it mixes up
    the entries where a gradient or a state has another layout than its weight. Here it gets views
    in which the weight is contiguous. Arguments, states and checkpoints are those of
    ``torch.optim.AdamW``.
    """

    def load_state_dict(self, state_dict: dict) -> None:
        """Load states, laid out as the weights are.

        Args:
            state_dict: From :meth:`state_dict`.
        """
        super().load_state_dict(state_dict)
        for weight, state in self.state.items():
            for name, value in state.items():
                if value.shape == weight.shape and value.stride() != weight.stride():
                    state[name] = torch.empty_like(weight).copy_(value)

    def _init_group(self, group: dict, *collected: list) -> object:
        result = super()._init_group(group, *collected)  # fills the lists
        if group['fused']:
            lists = [each for each in collected if isinstance(each, list)]
            weights, grads = list(lists[0]), lists[1]
            for values in lists:
                values[:] = [_view(value, weight)
                             for value, weight in zip(values, weights, strict=False)]
            for index, weight in enumerate(lists[0]):
                if not weight.is_cuda and weight.is_contiguous():
                    grads[index] = grads[index].contiguous()
        return result


def _view(value: Tensor, weight: Tensor) -> Tensor:
    """``value`` with the axes in the order in which those of a ``channels_last`` weight lie."""
    if (weight.is_cuda or weight.dim() != 4 or value.dim() != 4 or weight.is_contiguous()
            or not weight.is_contiguous(memory_format=torch.channels_last)):
        return value
    return value.permute(0, 2, 3, 1)
