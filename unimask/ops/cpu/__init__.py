"""What exists for speed and memory on the CPU alone: kernels, linear layers, allocator, optimiser.

:mod:`unimask.models.layers.linear` and the functions of :mod:`unimask.ops` choose between this and
plain torch, which computes the same; the model files know of neither. ``UNIMASK_NATIVE=0`` in the
environment switches all of it off. What each part buys: ``tools/analysis_tools/cpu_parts.py``.
"""

from __future__ import annotations

import os

__all__ = ['wanted']


def wanted() -> bool:
    """Whether the environment leaves the CPU's own ways switched on."""
    return os.environ.get('UNIMASK_NATIVE', '1') != '0'
