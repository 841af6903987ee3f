"""Convert a checkpoint of another library to unimask's names.

Example:
    python tools/model_converters/convert.py model_final.pkl mask2former_r50.pth

The source (detectron2, mmdet, huggingface, ...) is recognised by the names in the file. The
result can be given to tools/test.py and to load_from of a config.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from unimask.checkpoints import atomic_torch_save, read_weights
from unimask.cli import leave, run_tool
from unimask.convert import SOURCES, Conversion, convert
from unimask.errors import UserError


def parse_args() -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('src', help='file of torch.save, .safetensors or .pkl (detectron2), '
                                    'folder of a run, or URL')
    parser.add_argument('dst', type=Path, help='file to write')
    parser.add_argument('--source', choices=SOURCES,
                        help='where SRC comes from; by default recognised by its names')
    parser.add_argument('--trust-source', '--trust-checkpoint', action='store_true',
                        help='let SRC execute code while it is read; only for files you trust')
    return parser.parse_args()


def save(conversion: Conversion, origin: str, path: Path) -> None:
    """Write a checkpoint completely or not at all."""
    atomic_torch_save(dict(
        state_dict={name: tensor.contiguous() for name, tensor in conversion.state_dict.items()},
        meta=dict(converted_from=origin, source=conversion.source)), path)


def summary(conversion: Conversion) -> str:
    """What became of the tensors, in a few lines."""
    kept = len(conversion.state_dict) - len(conversion.supplied)
    lines = [f'source: {conversion.source}', f'{kept} tensors converted']
    if conversion.supplied:
        lines.append(f'{len(conversion.supplied)} supplied (counters and index tables)')
    lines += [f'{count} ignored: {reason}'
              for reason, count in Counter(conversion.ignored.values()).items()]
    return '\n'.join([*lines, *(f'note: {remark}' for remark in conversion.remarks)])


def main() -> int:
    """Run the command; returns the exit status."""
    args = parse_args()
    try:
        conversion = convert(read_weights(args.src, trust=args.trust_source), args.source)
        save(conversion, Path(args.src).name, args.dst)
    except (OSError, UserError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'{summary(conversion)}\nwritten to {args.dst}')
    return 0


if __name__ == '__main__':
    leave(run_tool(main))
