"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def describe(device: torch.device) -> dict[str, str | int]:
    """Processor, cores, threads, library versions and the GPU if one is used."""
    facts = dict(
        processor=_processor(), cores=len(os.sched_getaffinity(0)),
        threads=torch.get_num_threads(), python=platform.python_version(),
        torch=torch.__version__)
    if device.type == 'cuda':
        facts['gpu'] = torch.cuda.get_device_name(device)
    return facts


def _processor() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()
