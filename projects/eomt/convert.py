"""Convert an EoMT of transformers to this project's names.

    PYTHONPATH=. python projects/eomt/convert.py FILE CONFIG DST

FILE is a ``model.safetensors`` or ``pytorch_model.bin`` that ``EomtForUniversalSegmentation`` or
``EomtDinov3ForUniversalSegmentation`` wrote, CONFIG the config of the same model. The weights are
compared with the model before DST is written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from unimask.cli import leave, run_tool


def parse_args() -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('src', type=Path, help='file with the weights')
    parser.add_argument('config', type=Path, help='config of the model')
    parser.add_argument('dst', type=Path, help='file to write (.pth or .safetensors)')
    return parser.parse_args()


def main() -> None:
    """Run the command."""
    args = parse_args()
    from projects.eomt.eomt.weights import find_name_map
    from unimask.apis.converting import convert_checkpoint
    from unimask.checkpoints import read_weights
    from unimask.utils import register_all_modules
    register_all_modules()
    name_map = find_name_map(read_weights(args.src))
    print(convert_checkpoint(args.src, args.dst, source=name_map, config=args.config))


if __name__ == '__main__':
    leave(run_tool(main))
