"""From tensors to arrays."""

from __future__ import annotations

import numpy as np
from torch import Tensor

__all__ = ['as_array']


def as_array(values: Tensor | np.ndarray | list) -> np.ndarray:
    """Numbers of any kind as an array on the host; copied only where they come from a device."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
