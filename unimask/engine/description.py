"""What a run is, in plain values: for its log and for its report."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.runner import Runner

from unimask.version import __version__

__all__ = ['describe_evaluation', 'describe_run', 'device_name', 'package_versions']

_PACKAGES = ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'timm')
_COUNTED = 20_000  # pictures up to which objects are counted: each is read from the annotation
_WORST = 50  # pictures of an evaluation that are noted


def device_name() -> str:
    """What is computed with."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f'CPU with {torch.get_num_threads()} threads'


def package_versions() -> dict[str, str]:
    """Versions that a result depends on, by name."""
    others = {name: sys.modules[name].__version__ for name in _PACKAGES if name in sys.modules}
    return dict(unimask=__version__, Python=platform.python_version(), **others)


def commit() -> str | None:
    """Commit of the checkout that this package lies in, with a ``+`` after changes."""
    root = Path(__file__).resolve().parents[2]
    if not (root / '.git').exists():
        return None
    try:
        said = subprocess.run(
            ['git', '-C', str(root), 'describe', '--always', '--abbrev=12', '--dirty=+',
             '--exclude=*'], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip()


def describe_run(runner: Runner) -> dict[str, Any]:
    """What is trained on what, when the training begins.

    Args:
        runner: With its loop built.
    """
    loader = runner.train_dataloader
    model = getattr(runner.model, 'module', runner.model)
    splits = dict(train=loader.dataset)
    if runner.val_loop is not None:
        splits['val'] = runner.val_dataloader.dataset
    return dict(
        config=Path(runner.cfg.filename or f'{runner.timestamp}.py').name,
        started=time.strftime('%Y-%m-%d %H:%M:%S'), first_step=runner.iter,
        steps=runner.max_iters, batch=(getattr(loader, 'batch_size', None)
                                       or getattr(loader.batch_sampler, 'batch_size', 1)),
        processes=runner.world_size, seed=runner.seed, device=device_name(),
        model=type(model).__name__, parameters=sum(p.numel() for p in model.parameters()),
        versions=package_versions(), commit=commit(),
        data={name: _describe_split(dataset) for name, dataset in splits.items()})


def _describe_split(dataset: Any) -> dict[str, Any]:
    """Pictures, objects (where the annotation lists them), classes, and where they lie."""
    images = len(dataset)
    info = getattr(dataset, 'get_data_info', None)
    counts = [] if info is None or images > _COUNTED else [
        _objects(info(index)) for index in range(images)]
    known = bool(counts) and None not in counts
    return dict(images=images, objects=sum(counts) if known else None, source=_source(dataset),
                classes=len((getattr(dataset, 'metainfo', None) or {}).get('classes', ())))


def _source(dataset: Any) -> str:
    """The annotation file, else the folder."""
    prefixes = getattr(dataset, 'data_prefix', None) or {}
    choices = (getattr(dataset, 'ann_file', ''), *prefixes.values(),
               getattr(dataset, 'data_root', ''))
    return str(next(filter(None, choices), ''))


def _objects(info: Mapping) -> int | None:
    lists = [info[key] for key in ('segments_info', 'instances') if key in info]
    return len(lists[0]) if lists else None


def describe_evaluation(metrics: Sequence[BaseMetric], dataset: Any,
                        scores: Mapping[str, float], *, step: int) -> dict[str, Any]:
    """What an evaluation found: the scores, those of every class, and the worst pictures.

    Args:
        metrics: After they were computed. What they tell of classes (``class_tables``) and of
            pictures (``image_scores``, in the order of the data set) is taken.
        dataset: That was evaluated on.
        scores: Of the whole data set.
        step: Of the training.
    """
    told = {metric.prefix: metric for metric in metrics if hasattr(metric, 'class_tables')}
    tables = {prefix: [dict(
        classes=list(table.classes), columns=list(table.columns),
        scores=np.asarray(table.scores, dtype=float).tolist(), counted=table.counted,
        counts=[int(count) for count in table.counts]) for table in metric.class_tables]
        for prefix, metric in told.items()}
    return dict(step=step, scores={name: float(value) for name, value in scores.items()
                                   if isinstance(value, (int, float))},
                tables=tables, worst=_worst(metrics, dataset))


def _worst(metrics: Sequence[BaseMetric], dataset: Any) -> dict[str, Any] | None:
    """The worst pictures by the first metric that scores every picture."""
    for metric in metrics:
        scores = np.asarray(getattr(metric, 'image_scores', ()), dtype=float)
        if len(scores) == len(dataset) and np.isfinite(scores).any():
            order = [index for index in np.argsort(scores, kind='stable').tolist()
                     if np.isfinite(scores[index])][:_WORST]
            return dict(metric=metric.prefix, meaning=getattr(metric, 'image_score', ''), pictures=[
                dict(index=index, score=float(scores[index]),
                     path=str(dataset.get_data_info(index).get('img_path', index)))
                for index in order])
    return None
