#!/usr/bin/env python
"""Memory and time of SeMask's attention over a whole map, in chunks of queries and at once.

Every measurement is made in a process of its own.

Example:
    python tools/analysis_tools/global_attention.py --height 1024 --width 2048 --stride 16
"""

from __future__ import annotations

import argparse
import multiprocessing
from dataclasses import asdict, dataclass

import torch
from bench.memory import peak_above
from bench.steps import seconds

from unimask.cli import leave, run_tool
from unimask.ops.attention import LIMIT, unscaled_attention

MIB = 2**20
# What is called -> products of queries and keys that may exist at a time.
WAYS = {'in chunks': LIMIT, 'at once': 2**62}


@dataclass(frozen=True)
class Map:
    """What attends; the options of the command line."""

    height: int
    width: int
    stride: int
    classes: int
    channels: int

    @property
    def tokens(self) -> int:
        """Of an image."""
        return -(-self.height // self.stride) * -(-self.width // self.stride)


def parse_arguments() -> Map:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--height', type=int, default=1024, help='of the image in pixels')
    parser.add_argument('--width', type=int, default=2048, help='of the image in pixels')
    parser.add_argument('--stride', type=int, default=16, help='of the map')
    parser.add_argument('--classes', type=int, default=19, help='width of queries and keys')
    parser.add_argument('--channels', type=int, default=384, help='width of values')
    arguments = vars(parser.parse_args())
    for name, value in arguments.items():
        if value < 1:
            parser.error(f'--{name} must be at least 1')
    return Map(**arguments)


def measure(shape: Map, way: str, backward: bool) -> tuple[int, float]:
    """Bytes above the inputs, and seconds."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, shape.tokens, width, requires_grad=backward)
                         for width in (shape.classes, shape.classes, shape.channels))

    def work() -> None:
        out = unscaled_attention(query, key, value, limit=WAYS[way])
        if backward:
            out.sum().backward()

    peak = peak_above(work, torch.device('cpu'))
    return peak, seconds(work, torch.device('cpu'))


def main() -> None:
    """Measure and print a table."""
    shape = parse_arguments()
    print(f'{shape.tokens} tokens, {shape.tokens ** 2 * 4 / MIB:.0f} MiB of products in float32; '
          f'{asdict(shape)}, {torch.get_num_threads()} threads')
    print(f'{"":<36}{"memory (MiB)":>14}{"time (s)":>10}')
    context = multiprocessing.get_context('spawn')
    for backward in (False, True):
        for way in WAYS:
            with context.Pool(1) as pool:
                peak, duration = pool.apply(measure, (shape, way, backward))
            name = f'{"forward and backward" if backward else "forward"}, {way}'
            print(f'{name:<36}{peak / MIB:>14.0f}{duration:>10.2f}', flush=True)


if __name__ == '__main__':
    leave(run_tool(main))
