"""How much queries change from layer to layer, measured on held-out images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch import Tensor, nn

from unimask.engine.rng import get_rng_state, set_rng_state
from unimask.errors import UserError, image_name
from unimask.evaluation import Consistency, LayerConsistency
from unimask.models.segmentors.targets import make_targets
from unimask.registry import HOOKS
from unimask.structures import MaskPrediction, TargetBatch, Taxonomy

__all__ = ['LayerConsistencyHook', 'check_measurable', 'measure', 'scalars']


@HOOKS.register_module()
class LayerConsistencyHook(Hook):
    """Logs how much queries change from layer to layer, the instruments of MP-Former.

    At every validation it runs the model once more on the first images and matches every
    prediction with the ground truth; :class:`unimask.evaluation.LayerConsistency` says what is
    measured. Log and JSON log get ``consistency/iou`` and ``consistency/utilisation``, the means
    over the layers, and ``consistency/iou_1``, ``consistency/utilisation_1`` and so on for the step
    that leads to prediction 1 and so on. The training does not notice: no gradients, no dropout,
    the same random numbers afterwards.

    Args:
        num_images: Look at so many images at most.
        interval: Look at every so many validations; the last one is always looked at.
        seed: Of the points at which masks are matched, so that runs are compared at the same ones.

    Raises:
        UserError: A number is out of range; at the first validation: the model has no queries, no
            criterion, or the validation images have no ground truth.
    """

    def __init__(self, *, num_images: int = 100, interval: int = 1, seed: int = 0) -> None:
        for name, value in (('num_images', num_images), ('interval', interval)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f'LayerConsistencyHook.{name} must be a whole number from 1 on, '
                                f'not {value!r}.')
        self.num_images = num_images
        self.interval = interval
        self.seed = seed
        self._validations = 0
        self._share = num_images
        self._batches = 0
        self._measured: LayerConsistency | None = None

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin anew."""
        self._validations += 1
        check_measurable(_bare(runner.model))
        self._share = math.ceil(self.num_images / get_world_size())
        self._batches = 0
        self._measured = LayerConsistency() if self._wanted(runner) else None

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: Sequence | None = None) -> None:
        """Look at a batch."""
        room = 0 if self._measured is None else self._share - self._measured.result().images
        if room > 0 and data_batch:
            first = {key: values[:room] for key, values in data_batch.items()}
            measure(_bare(runner.model), first, into=self._measured,
                    seed=self.seed + self._batches)
            self._batches += 1

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Log what was measured, of all processes together."""
        if self._measured is None:
            return
        total = LayerConsistency()
        for part in all_gather_object(self._measured):
            total.merge(part)
        result = total.result()
        loop = _training(runner)
        runner.visualizer.add_scalars(scalars(result), step=loop.iter if loop else 0)
        runner.logger.info(_line(result))
        self._measured = None

    def _wanted(self, runner: Runner) -> bool:
        """Whether this validation is looked at."""
        loop = _training(runner)
        return self._validations % self.interval == 0 or loop is None or loop.iter >= loop.max_iters


def check_measurable(model: nn.Module) -> None:
    """Raise when a model has nothing that could be measured.

    Raises:
        UserError: It is no segmentor with queries, or has no criterion with a matcher.
    """
    criterion = getattr(model, 'criterion', None)
    if getattr(criterion, 'matcher', None) is None:
        raise UserError(
            'the consistency of layers is measured on queries that are matched with segments, but '
            f'{type(model).__name__} has no criterion with a matcher (model.criterion). Leave '
            'LayerConsistencyHook out of custom_hooks, or take a model such as Mask2Former.')


@torch.no_grad()
def measure(model: nn.Module, data_batch: dict, *, into: LayerConsistency, seed: int = 0) -> None:
    """Run a model on a batch of a test data loader and add what its layers do.

    The mode of the model and the states of the random numbers are as before afterwards.

    Args:
        model: A ``UniversalSegmentor`` with a criterion.
        data_batch: ``inputs`` and ``data_samples``, as the loader gives them.
        into: What the images are added to.
        seed: Of the points at which masks are matched.

    Raises:
        UserError: The model has no queries, or a sample no ground truth.
    """
    training = model.training
    model.eval()
    try:
        with _seeded(seed):
            _add(model, data_batch, into)
    finally:
        model.train(training)


def _add(model: nn.Module, data_batch: dict, into: LayerConsistency) -> None:
    data = model.data_preprocessor(data_batch, False)
    inputs, samples = data['inputs'], data['data_samples']
    prediction = model(inputs, samples, mode='tensor')
    if not isinstance(prediction, MaskPrediction):
        raise UserError('the consistency of layers is measured on queries, and '
                        f'{type(model.head).__name__} predicts pixels instead.')
    targets = _targets(samples, size=tuple(inputs.shape[-2:]), taxonomy=model.taxonomy,
                       device=inputs.device)
    into.update(prediction, model.criterion.matcher(prediction, targets),
                sizes=[_inside(sample, inputs, prediction) for sample in samples])


def _targets(samples: Sequence, *, size: tuple[int, int], taxonomy: Taxonomy,
             device: torch.device) -> TargetBatch:
    """Targets at the size of the input; of test images the truth has the size of the file."""
    targets = []
    for sample in samples:
        try:
            own = make_targets(sample, taxonomy)
        except ValueError as error:
            raise UserError(f'Image {image_name(sample)}: {error}') from error
        targets.append(own.at_size(tuple(getattr(sample, 'img_shape', size))[:2]).pad(size))
    return TargetBatch.stack(targets).to(device)


def _inside(sample: object, inputs: Tensor, prediction: MaskPrediction) -> tuple[int, int]:
    """Rows and columns of mask features that an image reaches into; the rest is padding."""
    padded, cells = inputs.shape[-2:], prediction.mask_features.shape[-2:]
    size = tuple(getattr(sample, 'img_shape', padded))[:2]
    rows, columns = (math.ceil(own * cell / whole)
                     for own, cell, whole in zip(size, cells, padded, strict=True))
    return rows, columns


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Run a block with random numbers of its own, on every device."""
    state = get_rng_state()
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_rng_state(state)


def scalars(result: Consistency) -> dict[str, float]:
    """Names and values for a log; steps without a pair are left out."""
    values = {'consistency/iou': result.mean_iou,
              'consistency/utilisation': result.mean_utilisation}
    for name, steps in (('iou', result.iou), ('utilisation', result.utilisation)):
        values |= {f'consistency/{name}_{step}': value for step, value in enumerate(steps, 1)}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _line(result: Consistency) -> str:
    """Both instruments in one line."""
    parts = [f'{name} {mean:.3f} ({" ".join(f"{value:.2f}" for value in steps)})'
             for name, mean, steps in (
                 ('IoU', result.mean_iou, result.iou),
                 ('utilisation', result.mean_utilisation, result.utilisation))]
    return (f'from layer to layer, {result.pairs} segments of {result.images} images: '
            f'{", ".join(parts)}')


def _training(runner: Runner) -> BaseLoop | None:
    """The training that a validation belongs to; asking the runner for it would start one."""
    return runner._train_loop if isinstance(runner._train_loop, BaseLoop) else None


def _bare(model: nn.Module) -> nn.Module:
    return getattr(model, 'module', model)
