#!/usr/bin/env python
"""Parameters and forward operations of the model in a config, part by part.

Example:
    python tools/analysis_tools/count.py configs/mask2former/r50_8xb2_coco-panoptic.py
"""

from __future__ import annotations

import argparse
import sys
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from unimask.cli import leave, run_tool
from unimask.registry import MODELS
from unimask.utils import register_all_modules


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--shape', type=int, nargs=2, default=(1024, 1024),
                        metavar=('HEIGHT', 'WIDTH'), help='image size in pixels')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        help='overrides of the config, as key=value')
    return parser.parse_args()


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """Number of parameters, and of those that are trained."""
    sizes = [(each.numel(), each.requires_grad) for each in module.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


def count_operations(model: nn.Module, shape: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds of one image per part, counted as one operation each; '' is all of it.

    Counted are matrix products, convolutions and attention, as torch's counter knows them. It
    counts a multiplication and an addition as two, hence the halving.
    """
    image = torch.zeros(1, 3, *shape)
    counter = FlopCounterMode(display=False, depth=2)
    model = deepcopy(model).requires_grad_(False)
    # The counter fails on tensors that need gradients under torch.no_grad(), and it does not know
    # oneDNN's operators.
    with torch.backends.mkldnn.flags(enabled=False), counter:
        model(image, None, mode='tensor')
    root = type(model).__name__
    counts = {
        name.removeprefix(root).lstrip('.'): sum(operations.values()) // 2
        for name, operations in counter.get_flop_counts().items() if name.startswith(root)}
    counts[''] = counter.get_total_flops() // 2
    return counts


def main() -> int:
    """Print the table; 2 if the config does not exist."""
    arguments = parse_arguments()
    if not Path(arguments.config).exists():
        print(f'config {arguments.config} does not exist', file=sys.stderr)
        return 2
    register_all_modules()
    config = Config.fromfile(arguments.config)
    config.merge_from_dict(arguments.cfg_options or {})
    config.model.init_cfg = None
    model = MODELS.build(config.model).eval()
    operations = count_operations(model, tuple(arguments.shape))
    print(f'{"part":<12}{"parameters":>14}{"trained":>14}{"GMACs":>10}')
    for name, part in [*model.named_children(), ('', model)]:
        total, trained = count_parameters(part)
        if total:
            giga = operations.get(name, 0) / 1e9
            print(f'{name or "all":<12}{total:>14,}{trained:>14,}{giga:>10.1f}')
    return 0


if __name__ == '__main__':
    leave(run_tool(main))
