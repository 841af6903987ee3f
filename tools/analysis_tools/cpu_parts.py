#!/usr/bin/env python
"""What each part of ``unimask/ops/cpu`` and its neighbours buys: a training step without it.

Every part is switched off in a process of its own, beside one with everything on. Run it on an
idle machine.

Example:
    python tools/analysis_tools/cpu_parts.py --size 512 --repeat 5
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from unittest.mock import patch

from bench.memory import peak_above
from bench.run import WARM_UP, Settings, build_side
from bench.steps import STEPS, seconds
from bench.weights import randomise

# Part -> how it is switched off, which must happen before the model is built.
PARTS: dict[str, Callable[[], AbstractContextManager]] = {
    'nothing': nullcontext,
    'compiled kernels': lambda: patch('unimask.ops.cpu.native.supports', lambda *_: False),
    'linear layers by oneDNN': lambda: patch('unimask.ops.cpu.linear.supports', lambda *_: False),
    'gradients of group norm': lambda: patch(
        'unimask.ops.cpu.group_norm.supports', lambda *_: False),
    'frozen norms folded': lambda: patch(
        'unimask.models.segmentors.universal.fold_frozen_norms', lambda *_: False),
    'cheap values recomputed': lambda: patch(
        'unimask.models.layers.deformable_attention.recomputed', lambda *_: nullcontext()),
    'freed memory kept': lambda: patch.dict(os.environ, MALLOC_TRIM_THRESHOLD_='131072'),
}


def measure(part: str, settings: Settings) -> tuple[float, float]:
    """Median seconds of a step and its peak memory in MiB, without a part; in a new process."""
    warnings.filterwarnings('ignore')
    from unimask.ops.cpu.memory import keep_freed_memory
    with PARTS[part]():
        side = build_side('mask2former', settings)
        randomise(side.model, 0)
        side.finish()
        step = STEPS['train'](side, settings.amp)
        peak = peak_above(lambda: (step(), step()), side.device)
        keep_freed_memory()  # as the runner does
        times = [seconds(step, side.device) for _ in range(WARM_UP + settings.repeat)]
    return statistics.median(times[WARM_UP:]), peak / 2**20


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=512, help='side of the images in pixels')
    parser.add_argument('--batch', type=int, default=1, help='images per step')
    parser.add_argument('--objects', type=int, default=12, help='segments per image')
    parser.add_argument('--repeat', type=int, default=5, help='timed steps of each')
    parser.add_argument('--parts', nargs='+', choices=tuple(PARTS), default=tuple(PARTS),
                        help='what to switch off, one after the other')
    return parser.parse_args()


def main() -> None:
    """Print a row a part."""
    arguments = parse_arguments()
    settings = Settings(
        mode='train', method='mask2former', peer='', device='cpu', size=arguments.size,
        batch=arguments.batch, objects=arguments.objects, amp='off', repeat=arguments.repeat)
    print(f'{"without":<28}{"ms per step":>12}{"MiB":>8}', flush=True)
    context = multiprocessing.get_context('spawn')
    for part in arguments.parts:
        with context.Pool(1) as pool:
            duration, peak = pool.apply(measure, (part, settings))
        print(f'{part:<28}{1e3 * duration:12.0f}{peak:8.0f}', flush=True)


if __name__ == '__main__':
    main()
