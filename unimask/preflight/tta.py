"""Test-time augmentation asked for on the command line."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.logging import print_log

from unimask.errors import UserError

__all__ = ['use_tta']

# Parts of the types of metrics that SemanticTTA serves.
_SEMANTIC = ('iou', 'semantic', 'dumppredictions')


def use_tta(cfg: Config) -> None:
    """Wrap the model of a prepared config; its ``tta_model`` says how, if there is one.

    Where the config has a ``tta_pipeline`` the test images come through that one.

    Raises:
        UserError: ``tta_model`` is semantic, and the config evaluates no semantic maps.
    """
    model = dict(cfg.get('tta_model') or dict(type='SegmentorTTA'))
    if model['type'] == 'SemanticTTA':
        _keep_semantic_metrics(cfg)
    if cfg.get('tta_pipeline'):
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(model, module=cfg.model)


def _keep_semantic_metrics(cfg: Config) -> None:
    given = cfg.get('test_evaluator') or []
    metrics = list(given) if isinstance(given, (list, tuple)) else [given]
    kept = [metric for metric in metrics
            if any(part in metric['type'].lower() for part in _SEMANTIC)]
    others = [metric['type'] for metric in metrics if metric not in kept]
    if not any(metric['type'] != 'DumpPredictions' for metric in kept):
        raise UserError('tta_model.type is SemanticTTA, but the test_evaluator of this config has '
                        f'no metric of semantic maps ({", ".join(others)}). Set tta_model.type to '
                        'SegmentorTTA, which serves all tasks.')
    if others:
        print_log(f'tta_model.type is SemanticTTA: {", ".join(others)} left out.', 'current')
    cfg.test_evaluator = kept
