"""Folders of Hugging Face's ``transformers``: what its JSON files say, in and out."""

from __future__ import annotations

from unimask.convert.huggingface.reading import config_from
from unimask.convert.huggingface.writing import files_for

__all__ = ['config_from', 'files_for']
