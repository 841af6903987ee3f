"""Test-time augmentation asked for on the command line."""

from __future__ import annotations

from mmengine.config import Config

from unimask.errors import UserError

__all__ = ['use_tta']


def use_tta(cfg: Config) -> None:
    """Wrap the model of a prepared config; its ``tta_model`` says how, if there is one.

    Raises:
        UserError: The config evaluates no semantic maps.
    """
    given = cfg.get('test_evaluator') or []
    metrics = list(given) if isinstance(given, (list, tuple)) else [given]
    kept = [metric for metric in metrics
            if 'iou' in metric['type'].lower() or metric['type'] == 'DumpPredictions']
    if not any('iou' in metric['type'].lower() for metric in kept):
        raise UserError('--tta averages semantic score maps, but the test_evaluator of this config '
                        f'has no IoU metric ({", ".join(m["type"] for m in metrics)}).')
    cfg.test_evaluator = kept
    cfg.model = dict(dict(cfg.get('tta_model') or dict(type='SemanticTTA')), module=cfg.model)
