"""Name maps, one module per family of sources.

A new source is a module with a :class:`~unimask.convert.rules.NameMap` and an entry here.
"""

from __future__ import annotations

from importlib import import_module

from unimask.convert.rules import NameMap
from unimask.errors import UserError

__all__ = ['NAME_MAPS', 'get_map']

# Source name -> module and constant. Modules load when asked for.
NAME_MAPS = {
    'detectron2': ('detectron2', 'DETECTRON2'),
    'detectron2-resnet': ('detectron2', 'DETECTRON2_RESNET'),
    'semask-fpn': ('semask', 'SEMASK_FPN'),
    'mmdet': ('mmdet', 'MMDET'),
    'mmseg': ('mmdet', 'MMSEG'),
    'huggingface': ('huggingface', 'HUGGINGFACE'),
    'torchvision': ('backbones', 'TORCHVISION'),
    'swin': ('backbones', 'SWIN'),
    'mit': ('mix_transformer', 'MIT'),
    'efficientnet-lite0': ('backbones', 'EFFICIENTNET_LITE0'),
    'timm': ('backbones', 'TIMM'),
}


def get_map(source: str) -> NameMap:
    """The name map of a source.

    Raises:
        UserError: If the source is unknown.
    """
    if source not in NAME_MAPS:
        raise UserError(f'unknown source "{source}"; choose one of {", ".join(NAME_MAPS)}')
    module, constant = NAME_MAPS[source]
    return getattr(import_module(f'{__name__}.{module}'), constant)
