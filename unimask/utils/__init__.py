"""Utilities that every part may use."""

from __future__ import annotations

from unimask.utils.setup import register_all_modules

__all__ = ['register_all_modules']
