"""See what the network sees: ``unimask browse CONFIG``."""

from __future__ import annotations

import argparse
from pathlib import Path

from unimask.cli import ConfigOptions, leave, run_tool
from unimask.errors import UserError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write pictures as they come out of the pipeline of a config, with their '
                    'labels drawn.')
    parser.add_argument('config', help='config file; `unimask train` writes RUN/config.py')
    parser.add_argument('--part', choices=('train', 'val', 'test'), default='train',
                        help='whose pipeline (default: %(default)s)')
    parser.add_argument('--out-dir', '--out', type=Path, default=Path('work_dirs/browse'),
                        metavar='DIR', help='folder of the pictures (default: %(default)s)')
    parser.add_argument('--number', type=int, default=20, metavar='N',
                        help='pictures, spread over the data (default: %(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, default={},
                        metavar='KEY=VALUE', help='change keys of the config')
    return parser.parse_args()


def main() -> None:
    """Write the pictures."""
    args = parse_args()
    import numpy as np

    from unimask.preflight import load_config, prepare_config
    from unimask.registry import DATASETS
    from unimask.utils import register_all_modules
    register_all_modules()
    cfg = load_config(args.config, args.cfg_options | {'model.init_cfg': None})
    loader = prepare_config(cfg, mode=args.part).get(f'{args.part}_dataloader')
    if not loader:
        raise UserError(f'{args.config} has no {args.part}_dataloader.')
    dataset = DATASETS.build(loader.dataset)
    count = min(args.number, len(dataset))
    chosen = np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int))
    args.out_dir.mkdir(parents=True, exist_ok=True)
    write(dataset, chosen.tolist(), args.out_dir)
    print(f'{len(chosen)} pictures are in {args.out_dir}')


def write(dataset, numbers: list[int], folder: Path) -> None:
    """Draw some of the samples."""
    import numpy as np

    from unimask.own_data.telling import progress
    from unimask.visualization import UniversalVisualizer
    visualizer = UniversalVisualizer()
    visualizer.dataset_meta = dataset.metainfo
    for number in progress(numbers, 'drawing'):
        item = dataset[number]
        image = np.ascontiguousarray(item['inputs'].numpy().transpose(1, 2, 0)[..., ::-1])
        stem = Path(item['data_samples'].img_path).stem
        visualizer.add_datasample(stem, image, item['data_samples'],
                                  out_file=str(folder / f'{number:06d}_{stem}.png'))


if __name__ == '__main__':
    leave(run_tool(main))
