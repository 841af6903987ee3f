#!/usr/bin/env python
"""Time and memory of Mask2Former here and in another library, with the same weights.

Examples:
    python tools/analysis_tools/benchmark.py train --peer mmdet --json train.json
    # what mask piloting costs: MP-Former beside Mask2Former, both of this library
    python tools/analysis_tools/benchmark.py train --method mp_former --peer mask2former \\
        --objects 20
    # what SeMask costs: a Swin-T with and without it, the encoder alone
    python tools/analysis_tools/benchmark.py encoder --method semask --peer plain
    # what aligned features cost: another pixel decoder, so the outputs are not compared
    python tools/analysis_tools/benchmark.py train --method fapn --peer mask2former
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

import torch
from bench.report import table
from bench.run import Settings, run
from bench.sides import OWN, MissingPeerError

from unimask.cli import leave, run_tool


def parse_arguments() -> tuple[Settings, Path | None]:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('mode', choices=('train', 'infer', 'encoder'),
                        help='a step of training, of inference, or the forward and backward pass '
                             'of the encoder alone')
    parser.add_argument('--method', default='mask2former',
                        choices=('mask2former', 'mp_former', 'semask', 'fapn', 'msfapn'),
                        help='what is measured of this library')
    parser.add_argument('--peer', choices=('mmdet', 'huggingface', 'mask2former', 'plain'),
                        default='mmdet', help='beside what: their Mask2Former or ours (R50), or '
                                              'plain, which is ours with the encoder of semask')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--size', type=int, default=512,
                        help='side of the square images in pixels, a multiple of 32')
    parser.add_argument('--batch', type=int, default=1, help='images per step')
    parser.add_argument('--objects', type=int, default=12, help='segments per image')
    parser.add_argument('--amp', choices=('off', 'fp16', 'bf16'), default='off')
    parser.add_argument('--repeat', type=int, default=5, help='timed steps per side')
    parser.add_argument('--json', type=Path, help='write all numbers to this file')
    arguments = vars(parser.parse_args())
    _check(parser, arguments)
    file = arguments.pop('json')
    return Settings(**arguments), file


def _check(parser: argparse.ArgumentParser, arguments: dict) -> None:
    if arguments['size'] < 32 or arguments['size'] % 32:
        parser.error(f'--size {arguments["size"]} is not a positive multiple of 32')
    for name in ('batch', 'objects', 'repeat'):
        if arguments[name] < 1:
            parser.error(f'--{name} must be at least 1')
    if (arguments['method'] == 'semask') != (arguments['peer'] == 'plain'):
        parser.error('--method semask and --peer plain go together: a Swin-T with and without it')
    if arguments['method'] in ('fapn', 'msfapn') and arguments['peer'] != 'mask2former':
        parser.error('--method fapn and msfapn are compared with --peer mask2former')
    if arguments['mode'] == 'encoder' and arguments['peer'] not in OWN:
        parser.error('encoder compares methods of this library: --peer mask2former or plain')
    if arguments['device'] == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: torch sees no GPU; python tools/misc/doctor.py tells why')


def main() -> int:
    """Run the comparison; 1 if the outputs disagree, 2 if the peer is missing."""
    settings, file = parse_arguments()
    warnings.filterwarnings('ignore')
    try:
        report = run(settings)
    except MissingPeerError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(report))
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(report, indent=1) + '\n')
    return 0 if report.get('outputs_agree', True) else 1


if __name__ == '__main__':
    leave(run_tool(main))
