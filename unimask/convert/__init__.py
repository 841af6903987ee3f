"""Checkpoint conversion, and backbone weights from files, packages and URLs."""

from __future__ import annotations

from unimask.checkpoints.guard import guard_loading
from unimask.convert.backbones import as_in
from unimask.convert.conversion import convert, convert_state_dict, detect_source
from unimask.convert.exporting import PEERS, export
from unimask.convert.maps import NAME_MAPS
from unimask.convert.pretrained import Pretrained, PretrainedBackbone
from unimask.convert.rules import Conversion, ConversionError, Ignore, NameMap, Rule

SOURCES = tuple(NAME_MAPS)

__all__ = [
    'PEERS', 'SOURCES', 'Conversion', 'ConversionError', 'Ignore', 'NameMap', 'Pretrained',
    'PretrainedBackbone', 'Rule', 'as_in', 'convert', 'convert_state_dict', 'detect_source',
    'export',
]

# With the initializers of this package come those of mmdet and mmseg, which load by themselves.
guard_loading()
