"""Look at data before a training: ``unimask check FOLDER|CONFIG``."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from unimask.cli import EXIT_USER_ERROR, ConfigOptions, leave, run_tool
from unimask.errors import UserError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Look at the data of a folder or of a config: what there is, and what looks '
                    'wrong. Ends with status 2 where a training would stop or be in vain.')
    parser.add_argument('data', metavar='FOLDER|CONFIG',
                        help='a folder of pictures and labels (see unimask train --data), or a '
                             'config file')
    parser.add_argument('--task', default='auto',
                        choices=('auto', 'semantic', 'instance', 'panoptic'),
                        help='where a folder has labels for several')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/check.html'), metavar='FILE',
                        help='page with numbers and pictures (default: %(default)s)')
    parser.add_argument('--images', type=int, default=300, metavar='N',
                        help='look at the labels of N pictures of each part, pixel by pixel '
                             '(default: %(default)s)')
    parser.add_argument('--pictures', type=int, default=24, metavar='N',
                        help='pictures of each part on the page (default: %(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, default={},
                        metavar='KEY=VALUE', help='change keys of the config')
    return parser.parse_args()


def main() -> int:
    """Look, print, write the page."""
    args = parse_args()
    from unimask.own_data.telling import progress
    from unimask.survey import find, survey, write_page
    from unimask.survey.page import summary
    from unimask.utils import register_all_modules
    register_all_modules()
    with tempfile.TemporaryDirectory() as scratch:
        cfg = _config(args, Path(scratch))
        splits = survey(cfg, limit=args.images, progress=progress)
        findings = find(splits, cfg)
        write_page(args.out, str(args.data), splits, findings, pictures=args.pictures)
    print('\n'.join(summary(splits)))
    for finding in findings:
        print(finding)
    print(f'{len(findings) or "no"} findings; the page: {args.out}')
    return EXIT_USER_ERROR if any(each.level == 'error' for each in findings) else 0


def _config(args: argparse.Namespace, scratch: Path):
    """The config of a file, or one that fits the folder."""
    from unimask.preflight import load_config, prepare_config
    from unimask.preflight.config_files import config_path
    if not Path(args.data).is_dir():
        if not config_path(args.data).suffix:
            raise UserError(f'{args.data} is neither a folder of pictures and labels nor a config '
                            'file.')
        return prepare_config(load_config(args.data, args.cfg_options | {'model.init_cfg': None}))
    from unimask.own_data import recognise
    from unimask.own_data.parts import Splitting
    from unimask.own_data.recipe import Machine, choose_settings, make_config
    layout = recognise(Path(args.data), task=args.task)
    print(f'{args.data}: {layout.format}, for the task {layout.task}', flush=True)
    data = layout.prepare(scratch, Splitting())
    for note in data.notes:
        print(f'note: {note}', flush=True)
    return make_config(data, choose_settings(data, Machine.here()), weights=None)


if __name__ == '__main__':
    leave(run_tool(main))
