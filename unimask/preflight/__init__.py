"""What is looked at before a run: config, components, data, checkpoint against model."""

from __future__ import annotations

from unimask.preflight.config import load_config, prepare_config
from unimask.preflight.options import apply_options
from unimask.preflight.precision import choose_precision
from unimask.preflight.state import StateReport, compare_state, load_state
from unimask.preflight.tta import use_tta

__all__ = ['StateReport', 'apply_options', 'choose_precision', 'compare_state', 'load_config',
           'load_state', 'prepare_config', 'use_tta']
