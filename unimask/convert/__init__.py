"""Checkpoint conversion, and backbone weights from files, packages and URLs."""
from __future__ import annotations

from unimask.convert.convert import convert, convert_state_dict, detect_source
from unimask.convert.files import load_file
from unimask.convert.maps import NAME_MAPS
from unimask.convert.pretrained import PretrainedBackbone
from unimask.convert.rules import Conversion, ConversionError, Ignore, NameMap, Rule

SOURCES = tuple(NAME_MAPS)

__all__ = [
    'SOURCES', 'Conversion', 'ConversionError', 'Ignore', 'NameMap', 'PretrainedBackbone',
    'Rule', 'convert', 'convert_state_dict', 'detect_source', 'load_file',
]
