"""Predictions for pictures, in three lines of Python.

::

    inferencer = Inferencer('checkpoint.pth')
    samples = inferencer(['a.jpg', 'b.png'], out_dir='out')
    samples[0].pred_panoptic_seg.sem_seg
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress
from torch import nn

from unimask.apis.device import chosen_device
from unimask.apis.output import OutputFolder
from unimask.apis.pictures import Image, Picture, collect
from unimask.apis.pipeline import picture_steps, run_steps
from unimask.apis.stored_config import stored_config
from unimask.checkpoints import classes_of, read_checkpoint, weights_of
from unimask.data_sample import DataSample
from unimask.errors import UserError
from unimask.models.post_processors import InstancePostProcessor
from unimask.preflight import apply_options, load_config, prepare_config
from unimask.preflight.components import find_component, options_of
from unimask.preflight.state import load_state
from unimask.registry import INFERENCERS, MODELS
from unimask.structures.masks import PackedMasks

__all__ = ['Inferencer', 'Report']

MIN_SCORE = 0.3
_SHOWN = 20  # failures that a message lists
_CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml')


@dataclass
class Report:
    """What became of the pictures of a call.

    Attributes:
        total: Pictures that were meant.
        done: Those that were predicted and written.
        failed: Why not, by path.
    """

    total: int
    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def raise_failures(self) -> None:
        """Raise one error that names every picture that failed.

        Raises:
            UserError: There is one.
        """
        if self.failed:
            shown = list(self.failed.items())[:_SHOWN]
            lines = '\n'.join(f'  {path}: {reason}' for path, reason in shown)
            if len(shown) < len(self.failed):
                lines += '\n  ...'
            raise UserError(f'{len(self.failed)} of {self.total} pictures could not be '
                            f'predicted:\n{lines}\nThe other {self.done} are done.')


@dataclass(frozen=True)
class _Outcome:
    """A picture with its pixels and prediction, or with what was wrong."""

    picture: Picture
    pixels: np.ndarray | None = None
    sample: DataSample | None = None
    error: UserError | None = None


@INFERENCERS.register_module()
class Inferencer:
    """A trained model that takes pictures and gives predictions.

    Args:
        config: Config file, or a config. It may be left out, or a checkpoint be given in its
            place: then the config that the checkpoint stores is used, see
            :mod:`unimask.apis.stored_config`.
        checkpoint: Path or URL; None for random weights. The classes are those it was trained
            with, if it says so.
        device: Such as ``cpu`` or ``cuda:0``; None for a GPU where there is one.
        trust_checkpoint: Let the checkpoint run code while it is read.
        options: Keys of the config to change, ``{'a.b.c': value}``.
        prior: Add SeMask's semantic prior, ``pred_prior``: what the stages of the encoder say,
            and their sum.

    Attributes:
        model: The model; ``model.taxonomy`` knows the classes.
        classes: Their names, by label.

    Raises:
        UserError: Config or checkpoint are missing or do not fit each other, the device is not
            there, or the model has no semantic prior.
    """

    def __init__(self, config: str | Path | Config | None = None,
                 checkpoint: str | Path | None = None, *, device: str | None = None,
                 trust_checkpoint: bool = False, options: dict[str, Any] | None = None,
                 prior: bool = False) -> None:
        self.device = chosen_device(device)
        if checkpoint is None and _is_checkpoint(config):
            config, checkpoint = None, config
        state = {} if checkpoint is None else read_checkpoint(checkpoint, trust=trust_checkpoint)
        cfg = _config(config, state, str(checkpoint))
        apply_options(cfg, options or {})
        cfg = prepare_config(cfg, mode='predict')
        if prior:
            cfg.model.test_cfg = dict(cfg.model.get('test_cfg') or {}, prior=True)
        known = classes_of(state, path=str(checkpoint))
        if known is not None:
            cfg.model.taxonomy = known
        _check_classes(cfg, str(checkpoint or config))
        self.model = _build(cfg)
        if checkpoint is not None:
            load_state(weights_of(state, path=checkpoint), self.model, path=str(checkpoint))
        self.model.to(self.device).eval()
        self.steps = picture_steps(cfg)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return self.model.taxonomy.classes

    def __call__(self, images: Image | Iterable[Image], *, out_dir: str | Path | None = None,
                 batch_size: int = 1, recursive: bool = False, min_score: float = MIN_SCORE
                 ) -> list[DataSample]:
        """Predict.

        Args:
            images: A picture, a folder of pictures, a pattern, or a list of these. A picture is a
                path, an array, a PIL image or a tensor, see
                :func:`unimask.apis.pictures.as_bgr`.
            out_dir: Folder for drawings, maps and ``predictions.json``, see
                :class:`unimask.apis.output.OutputFolder`. Every picture's are written as soon as
                it is predicted.
            batch_size: Pictures per forward pass.
            recursive: Also look into the sub-folders of folders.
            min_score: Instances with a lower score are left out of what is written; the returned
                samples have all.

        Returns:
            A data sample per picture, in order, with ``pred_panoptic_seg``, ``pred_instances``
            and ``pred_sem_seg``, as far as the config's ``test_cfg.tasks`` asks for them;
            ``classes`` names the classes by label.

        Raises:
            UserError: There is no such picture, or one cannot be predicted: at once without
                ``out_dir``, else after all the others.
        """
        pictures = collect(images, recursive=recursive, leave_out=out_dir)
        samples: list[DataSample] = []
        if out_dir is not None:
            self._write(pictures, out_dir, batch_size=batch_size, min_score=min_score,
                        progress=False, keep=samples).raise_failures()
            return samples
        for outcome in self._outcomes(pictures, batch_size):
            if outcome.error is not None:
                raise outcome.error
            samples.append(outcome.sample)
        return samples

    def save(self, images: Image | Iterable[Image], out_dir: str | Path, *, batch_size: int = 1,
             recursive: bool = False, min_score: float = MIN_SCORE, progress: bool = True
             ) -> Report:
        """Predict and write, and keep nothing in memory: for large folders.

        Args:
            images: As above.
            out_dir: As above.
            batch_size: As above.
            recursive: As above.
            min_score: As above.
            progress: Show a progress line on stderr.

        Returns:
            What was done and what failed; a picture that fails does not stop the others.

        Raises:
            UserError: There is no such picture, or the folder cannot be written to.
        """
        pictures = collect(images, recursive=recursive, leave_out=out_dir)
        return self._write(pictures, out_dir, batch_size=batch_size, min_score=min_score,
                           progress=progress, keep=None)

    def predict(self, images: Sequence[Image]) -> list[DataSample]:
        """Predict one batch.

        Raises:
            UserError: One of the pictures cannot be predicted.
        """
        return self(images, batch_size=len(images))

    def _write(self, pictures: list[Picture], out_dir: str | Path, *, batch_size: int,
               min_score: float, progress: bool, keep: list[DataSample] | None) -> Report:
        report = Report(len(pictures))
        bar = Progress(*Progress.get_default_columns(), MofNCompleteColumn(),
                       console=Console(stderr=True), disable=not progress)
        compact = self._compact(min_score) if keep is None else nullcontext()
        folder = OutputFolder(out_dir, self.model.taxonomy, min_score=min_score)
        with folder, bar, compact:
            folder.check(pictures)
            task = bar.add_task('predicting', total=report.total)
            try:
                for outcome in self._outcomes(pictures, batch_size):
                    if outcome.error is None:
                        folder.write(outcome.picture, outcome.pixels, outcome.sample)
                        report.done += 1
                        if keep is not None:
                            keep.append(outcome.sample)
                    else:
                        report.failed[outcome.picture.path] = str(outcome.error)
                    bar.advance(task)
            except KeyboardInterrupt:
                bar.stop()
                print(f'{report.done} of {report.total} pictures are done, in {out_dir}',
                      file=sys.stderr)
                raise
        return report

    @contextmanager
    def _compact(self, min_score: float) -> Iterator[None]:
        """Instances that are written and forgotten: no more than are wanted, and packed."""
        processors = getattr(self.model, 'post_processors', {})
        before = processors.get('instance')
        if not isinstance(before, InstancePostProcessor):
            yield
            return
        processors['instance'] = replace(
            before, min_score=max(before.min_score, min_score), packed=True)
        try:
            yield
        finally:
            processors['instance'] = before

    def _outcomes(self, pictures: Sequence[Picture], batch_size: int) -> Iterator[_Outcome]:
        if batch_size < 1:
            raise UserError(f'batch_size must be 1 or more, not {batch_size}')
        for start in range(0, len(pictures), batch_size):
            yield from self._batch(pictures[start:start + batch_size], start)

    @torch.no_grad()
    def _batch(self, pictures: Sequence[Picture], start: int) -> list[_Outcome]:
        """Predict a batch; a picture that cannot be read does not stop the others."""
        outcomes, packed = [], []
        for number, picture in enumerate(pictures, start):
            try:
                pixels = picture.pixels()
                packed.append(run_steps(self.steps, dict(
                    img=pixels, img_path=picture.path, img_id=number,
                    img_shape=pixels.shape[:2], ori_shape=pixels.shape[:2])))
                outcomes.append(_Outcome(picture, pixels))
            except UserError as error:
                outcomes.append(_Outcome(picture, error=error))
        try:
            samples = iter(self._forward(packed))
        except (MemoryError, RuntimeError) as error:
            wrong = _memory_error(error)
            return [each if each.error else _Outcome(each.picture, error=wrong)
                    for each in outcomes]
        return [each if each.error else _Outcome(each.picture, each.pixels, next(samples))
                for each in outcomes]

    def _forward(self, packed: list[dict]) -> list[DataSample]:
        if not packed:
            return []
        batch = {key: [item[key] for item in packed] for key in ('inputs', 'data_samples')}
        samples = [sample.cpu() for sample in self.model.test_step(batch)]
        for sample in samples:
            sample.set_metainfo(dict(classes=self.classes))
            masks = sample.pred_instances.masks if 'pred_instances' in sample else None
            if isinstance(masks, PackedMasks):  # no tensor, so MMEngine does not move it
                sample.pred_instances.masks = masks.cpu()
        return samples


def _memory_error(error: Exception) -> UserError:
    """The error for the user, unless it is another one."""
    lacks = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    if not lacks and "can't allocate memory" not in str(error):
        raise error
    return UserError('there is too little memory for it. Take a smaller batch size or a smaller '
                     'picture.')


def _is_checkpoint(config: object) -> bool:
    return isinstance(config, (str, Path)) and not str(config).lower().endswith(_CONFIG_SUFFIXES)


def _config(config: str | Path | Config | None, state: dict, path: str) -> Config:
    if isinstance(config, Config):
        return config.copy()
    if config is not None:
        return load_config(config)
    if not state:
        raise UserError('Inferencer needs a config, a checkpoint, or both')
    return stored_config(state, path=path)


def _check_classes(cfg: Config, source: str) -> None:
    """Raise where neither checkpoint nor config says which classes the model has."""
    component = find_component(cfg.model.get('type'))
    options = options_of(component) if component else None
    if options and 'taxonomy' in options and not cfg.model.get('taxonomy'):
        raise UserError(f'{source} does not say its classes. Name a config before the checkpoint '
                        'that says them: model.taxonomy is the type of a data set, or '
                        'dict(classes=(...), thing_classes=(...)).')


def _build(cfg: Config) -> nn.Module:
    return MODELS.build(dict(cfg.model, init_cfg=None))
