#!/usr/bin/env python
"""How much queries change from layer to layer: measure a checkpoint, draw several together.

Example:
    python tools/analysis_tools/layer_consistency.py measure CONFIG CHECKPOINT --out a.json
    python tools/analysis_tools/layer_consistency.py draw a.json b.json --out layers.png
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from unimask.cli import add_common_options, config_from, leave, run_tool
from unimask.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

    from unimask.evaluation import Consistency

INSTRUMENTS = {'iou': 'IoU with the layer before', 'utilisation': 'query utilisation'}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    measure = commands.add_parser('measure', help='measure a checkpoint on held-out images')
    add_common_options(measure)
    measure.add_argument('checkpoint', help='checkpoint file, or the work directory of a run')
    measure.add_argument('--split', choices=('val', 'test'), default='val',
                         help='which data loader of the config gives the images')
    measure.add_argument('--num-images', type=int, help='look at the first images only')
    measure.add_argument('--seed', type=int, default=0,
                         help='of the points at which masks are matched')
    measure.add_argument('--name', help='what pictures call it (default: name of the config)')
    measure.add_argument('--out', type=Path, required=True, metavar='FILE.json')
    draw = commands.add_parser('draw', help='draw measurements into one picture')
    draw.add_argument('files', type=Path, nargs='+', metavar='FILE.json',
                      help='what measure wrote, or several')
    draw.add_argument('--out', type=Path, required=True, metavar='FILE.png')
    return parser.parse_args()


def main() -> None:
    """Measure or draw."""
    arguments = parse_arguments()
    if arguments.command == 'measure':
        run_measure(arguments)
    else:
        draw([read_measurement(file) for file in arguments.files], arguments.out)


def run_measure(arguments: argparse.Namespace) -> None:
    """Write a JSON file with the instruments of a checkpoint."""
    from unimask.preflight import prepare_config
    from unimask.utils import register_all_modules
    register_all_modules()
    if arguments.num_images is not None and arguments.num_images < 1:
        raise UserError('--num-images must be at least 1.')
    cfg = config_from(arguments)
    cfg.load_from = arguments.checkpoint
    cfg.resume = False
    cfg = prepare_config(cfg, mode=arguments.split)
    result = measure_split(cfg, split=arguments.split, num_images=arguments.num_images,
                           seed=arguments.seed)
    record = dict(
        name=arguments.name or Path(arguments.config).stem, config=arguments.config,
        checkpoint=str(arguments.checkpoint), split=arguments.split, **as_record(result))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=1) + '\n')
    print(f'{result.pairs} segments of {result.images} images: IoU {result.mean_iou:.3f}, '
          f'utilisation {result.mean_utilisation:.3f}; {arguments.out}')


def measure_split(cfg: Config, *, split: str, num_images: int | None, seed: int) -> Consistency:
    """Measure the checkpoint ``cfg.load_from`` on the images of a split."""
    from unimask.engine import Runner
    from unimask.engine.hooks.layer_consistency import check_measurable, measure
    from unimask.evaluation import LayerConsistency
    runner = Runner.from_cfg(cfg)
    check_measurable(runner.model)
    runner.load_checkpoint(cfg.load_from, strict=True)
    measured = LayerConsistency()
    for number, batch in enumerate(runner.build_dataloader(cfg[f'{split}_dataloader'])):
        room = math.inf if num_images is None else num_images - measured.result().images
        if room <= 0:
            break
        first = {key: values[:min(room, len(values))] for key, values in batch.items()}
        measure(runner.model, first, into=measured, seed=seed + number)
    return measured.result()


def as_record(result: Consistency) -> dict:
    """Plain values for JSON, which has no NaN: None stands for it."""
    known = {name: [None if math.isnan(value) else round(value, 5)
                    for value in getattr(result, name)] for name in INSTRUMENTS}
    return dict(images=result.images, pairs=result.pairs, **known)


def read_measurement(file: Path) -> dict:
    """What ``measure`` wrote.

    Raises:
        UserError: The file is missing or holds something else.
    """
    try:
        record = json.loads(file.read_text())
    except OSError as error:
        raise UserError(f'{file} cannot be read ({error.strerror}). Give files that '
                        'layer_consistency.py measure wrote.') from error
    except ValueError as error:
        raise UserError(f'{file} is no JSON file: {error}.') from error
    if not isinstance(record, dict) or not {'name', *INSTRUMENTS} <= record.keys():
        raise UserError(f'{file} is no measurement: it lacks name, iou or utilisation. Give files '
                        'that layer_consistency.py measure wrote.')
    return record


def draw(records: list[dict], file: Path) -> None:
    """Both instruments over the layers, a line a measurement."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(9, 3.5), layout='constrained')
    for axes, (key, title) in zip(figure.subplots(1, 2), INSTRUMENTS.items(), strict=True):
        for record in records:
            values = [math.nan if value is None else value for value in record[key]]
            axes.plot(range(1, len(values) + 1), values, marker='o', label=record['name'])
        axes.set(xlabel='prediction', ylabel=title, ylim=(0, 1))
        axes.grid(alpha=0.3)
        axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


if __name__ == '__main__':
    leave(run_tool(main))
