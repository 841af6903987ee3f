#!/usr/bin/env python
"""Memory and time of the dense losses beside their published definition.

Both sides get the same predictions and ground truth, each in a process of its own, and must agree
in loss and gradients; forward and backward of the loss alone are measured, not the network.

Examples:
    python tools/analysis_tools/dense_losses.py --size 640 --objects 20
    # the per-pixel baseline with queries: six maps of every class
    python tools/analysis_tools/dense_losses.py --kind pixels --classes 150
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from bench.dense import DenseSettings, measure

from unimask.cli import leave, run_tool
from unimask.utils import register_all_modules

SIDES = ('here', 'published')
TOLERANCE = 1e-4


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = DenseSettings()
    parser.add_argument('--kind', choices=('masks', 'pixels'), default=default.kind,
                        help="MaskFormer's losses, or cross-entropy of every pixel")
    parser.add_argument('--size', type=int, default=default.size,
                        help='side of the square images in pixels, a multiple of 32')
    parser.add_argument('--batch', type=int, default=default.batch, help='images')
    parser.add_argument('--objects', type=int, default=default.objects, help='segments per image')
    parser.add_argument('--layers', type=int, default=default.layers, help='predictions')
    parser.add_argument('--classes', type=int, default=default.classes)
    parser.add_argument('--device', choices=('cpu', 'cuda'), default=default.device)
    parser.add_argument('--json', type=Path, help='write all numbers to this file')
    parser.add_argument('--side', choices=SIDES, help=argparse.SUPPRESS)  # of the own processes
    arguments = parser.parse_args()
    if arguments.size < 32 or arguments.size % 32:
        parser.error(f'--size {arguments.size} is not a positive multiple of 32')
    return arguments


def settings_of(arguments: argparse.Namespace) -> DenseSettings:
    """What the command line asks for."""
    return DenseSettings(**{name: getattr(arguments, name) for name in asdict(DenseSettings())})


def compare(settings: DenseSettings) -> dict:
    """Measure both sides, each in its own process."""
    options = [text for name, value in asdict(settings).items()
               for text in (f'--{name}', str(value))]
    report: dict = {'settings': asdict(settings)}
    for side in SIDES:
        output = subprocess.run([sys.executable, __file__, *options, '--side', side], check=True,
                                stdout=subprocess.PIPE, text=True).stdout
        report[side] = json.loads(output.splitlines()[-1])
    here, published = (report[side] for side in SIDES)
    report['memory_ratio'] = here['bytes'] / published['bytes']
    report['time_ratio'] = here['seconds'] / published['seconds']
    report['agree'] = all(math.isclose(here[name], published[name], rel_tol=TOLERANCE)
                          for name in here if name == 'loss' or name.startswith('gradient'))
    return report


def main() -> int:
    """Measure one side, or both; 1 if they disagree."""
    arguments = parse_arguments()
    settings = settings_of(arguments)
    if arguments.side:
        register_all_modules()
        print(json.dumps(measure(settings, published=arguments.side == 'published')))
        return 0
    report = compare(settings)
    for side in SIDES:
        print(f'{side:10} {report[side]["bytes"] / 2**20:8.0f} MiB {report[side]["seconds"]:7.2f} s'
              f'   loss {report[side]["loss"]:.6f}')
    print(f'memory {report["memory_ratio"]:.3f}, time {report["time_ratio"]:.2f}, '
          f'{"they agree" if report["agree"] else "THEY DISAGREE"}')
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=1) + '\n')
    return 0 if report['agree'] else 1


if __name__ == '__main__':
    leave(run_tool(main))
