"""Names of losses: the contract between criteria and logs."""

from __future__ import annotations

from torch import Tensor


def named_losses(losses: dict[str, Tensor], *, part: str = '') -> dict[str, Tensor]:
    """Scalars from values of all predictions.

    Args:
        losses: (L,) values by name, such as ``loss_cls``.
        part: What precedes the names, such as ``mp.``.

    Returns:
        The last value as ``{part}{name}``, the i-th as ``d{i}.{part}{name}``.
    """
    named = {f'{part}{name}': values[-1] for name, values in losses.items()}
    count = len(next(iter(losses.values())))
    for index in range(count - 1):
        named |= {f'd{index}.{part}{name}': values[index] for name, values in losses.items()}
    return named
