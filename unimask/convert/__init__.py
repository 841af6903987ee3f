"""Checkpoint conversion, and backbone weights from files, packages and URLs."""

from .convert import convert, convert_state_dict, detect_source
from .engine import Conversion, ConversionError, Ignore, NameMap, Rule
from .files import load_file
from .maps import NAME_MAPS
from .pretrained import PretrainedBackbone

SOURCES = tuple(NAME_MAPS)

__all__ = [
    'SOURCES', 'Conversion', 'ConversionError', 'Ignore', 'NameMap', 'PretrainedBackbone',
    'Rule', 'convert', 'convert_state_dict', 'detect_source', 'load_file',
]
