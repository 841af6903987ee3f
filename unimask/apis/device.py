"""Where is computed."""

from __future__ import annotations

import torch
from mmengine.device import get_device

from unimask.errors import UserError

__all__ = ['chosen_device']


def chosen_device(name: str | torch.device | None) -> torch.device:
    """The device of a name, such as ``cpu`` or ``cuda:0``; None for a GPU where there is one.

    Raises:
        UserError: This machine has no such device.
    """
    try:
        device = torch.device(name or get_device())
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without it
        count = torch.cuda.device_count()
        there = ', '.join(['cpu', *(f'cuda:{index}' for index in range(count))])
        raise UserError(f'there is no device {str(name)!r} here, only {there} '
                        f'({str(error).splitlines()[0]}). Name another one, or none.') from error
    return device
