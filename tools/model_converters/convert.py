"""Convert a checkpoint of another library to unimask, or one of unimask to another library.

Examples:
    python tools/model_converters/convert.py model_final.pkl mask2former_r50.pth
    python tools/model_converters/convert.py work_dirs/run/iter_9000.pth FOLDER --to huggingface

The source (detectron2, mmdet, huggingface, ...) is recognised by the names in the file. The
result can be given to tools/test.py and to load_from of a config.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from unimask.cli import leave, run_tool

# Stated here too, so that --help needs no library.
SOURCES = ('unimask', 'detectron2', 'detectron2-resnet', 'semask-fpn', 'mmdet', 'mmseg',
           'huggingface', 'torchvision', 'swin', 'mit', 'efficientnet-lite0', 'timm')
TARGETS = ('unimask', 'huggingface', 'detectron2', 'mmdet', 'mmseg')


def parse_args() -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('src', help='file of torch.save, .safetensors or .pkl (detectron2), '
                                    'folder of a run or of transformers, or URL')
    parser.add_argument('dst', type=Path, help='file to write (.pth or .safetensors); a folder '
                                               'for --to huggingface')
    parser.add_argument('--source', choices=SOURCES,
                        help='where SRC comes from; by default recognised by its names')
    parser.add_argument('--to', choices=TARGETS, default='unimask',
                        help='who shall read DST (default: %(default)s)')
    parser.add_argument('--config', help='config of the model, where SRC does not say it; the '
                                         'weights are compared with it, and DST remembers it')
    parser.add_argument('--trust-source', '--trust-checkpoint', action='store_true',
                        help='let SRC execute code while it is read; only for files you trust')
    return parser.parse_args()


def main() -> None:
    """Run the command."""
    args = parse_args()
    from unimask.apis.converting import convert_checkpoint
    from unimask.utils import register_all_modules
    register_all_modules()
    print(convert_checkpoint(args.src, args.dst, source=args.source, to=args.to,
                             config=args.config, trust=args.trust_source))


if __name__ == '__main__':
    leave(run_tool(main))
