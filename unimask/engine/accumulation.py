"""Gradients that wait for their update, kept in a checkpoint.

With ``optim_wrapper.accumulative_counts=n`` the weights change every n iterations; a checkpoint in
between holds the gradients summed so far, those of every process, since they are added up among
processes only at the update.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.optim import OptimWrapper
from torch.nn.parameter import Parameter

from unimask.checkpoints import to_plain

__all__ = ['accumulated_gradients', 'restore_gradients']


def accumulated_gradients(wrapper: OptimWrapper) -> dict[str, Any] | None:
    """Gradients that the next update will use too; every process must call it.

    Returns:
        ``counts``, and ``gradients``: per process a dictionary from the number of the parameter
        in the optimiser to its gradient. None right after an update, and in all processes but the
        first.
    """
    if not isinstance(wrapper, OptimWrapper) or wrapper.should_update():
        return None
    own = {number: to_plain(parameter.grad)
           for number, parameter in enumerate(_parameters(wrapper))
           if parameter.grad is not None}
    everyone = _gather(own)
    if not is_main_process():
        return None
    return dict(counts=wrapper._accumulative_counts, gradients=everyone)


def restore_gradients(wrapper: OptimWrapper, kept: dict[str, Any] | None) -> str | None:
    """Go on summing where a checkpoint was written.

    Args:
        wrapper: The optimiser wrapper.
        kept: What :func:`accumulated_gradients` returned.

    Returns:
        Why the gradients cannot be used; None when they are, or when there are none.
    """
    if kept is None:
        return None
    gradients, counts = kept['gradients'], kept['counts']
    if counts != wrapper._accumulative_counts:
        return (f'accumulative_counts is {wrapper._accumulative_counts} and was {counts} when the '
                'checkpoint was written')
    if len(gradients) != get_world_size():
        return (f'{get_world_size()} process(es) go on and {len(gradients)} wrote the checkpoint')
    own = gradients[get_rank()]
    for number, parameter in enumerate(_parameters(wrapper)):
        if number in own:
            parameter.grad = own[number].to(parameter.device, parameter.dtype)
    return None


def _parameters(wrapper: OptimWrapper) -> list[Parameter]:
    return [parameter for group in wrapper.param_groups for parameter in group['params']]


def _gather(own: dict) -> list[dict]:
    """What every process has, in the first one; through the memory of the CPU."""
    if get_world_size() == 1:
        return [own]
    everyone: list = [None] * get_world_size()
    distributed = torch.distributed
    group = None if distributed.get_backend() == 'gloo' else distributed.new_group(backend='gloo')
    distributed.gather_object(own, everyone if is_main_process() else None, group=group)
    if group is not None:
        distributed.destroy_process_group(group)
    return everyone
