#!/usr/bin/env python
"""Which operators a training step or an inference of Mask2Former R50 spends its time in.

Example:
    python tools/analysis_tools/profile_step.py train --size 512 --top 25
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch
from bench.run import Settings, build_side
from bench.sides import SIDES
from bench.steps import DTYPES, STEPS, time_of_parts
from bench.weights import randomise


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('mode', choices=tuple(STEPS))
    parser.add_argument('--side', choices=tuple(SIDES), default='mask2former',
                        help='whose implementation')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--size', type=int, default=512, help='side of the images in pixels')
    parser.add_argument('--batch', type=int, default=1, help='images per step')
    parser.add_argument('--objects', type=int, default=12, help='segments per image')
    parser.add_argument('--amp', choices=tuple(DTYPES), default='off')
    parser.add_argument('--top', type=int, default=30, help='operators to list')
    parser.add_argument('--trace', type=Path, help='also write a Chrome trace to this file')
    return parser.parse_args()


def main() -> None:
    """Warm up, time the parts once, profile one step, print both."""
    arguments = parse_arguments()
    warnings.filterwarnings('ignore')
    settings = Settings(
        mode=arguments.mode, method='mask2former', peer='', device=arguments.device,
        size=arguments.size, batch=arguments.batch, objects=arguments.objects,
        amp=arguments.amp, repeat=1)
    side = build_side(arguments.side, settings)
    randomise(side.model, 0)
    side.finish()
    step = STEPS[arguments.mode](side, arguments.amp)
    for _ in range(2):
        step()
    for name, duration in sorted(time_of_parts(step, side).items(), key=lambda each: -each[1]):
        print(f'{name:<20}{1e3 * duration:10.1f} ms')
    with torch.profiler.profile(profile_memory=True) as profile:
        step()
    key = 'self_cuda_time_total' if arguments.device == 'cuda' else 'self_cpu_time_total'
    print(profile.key_averages().table(sort_by=key, row_limit=arguments.top))
    if arguments.trace:
        profile.export_chrome_trace(str(arguments.trace))


if __name__ == '__main__':
    main()
