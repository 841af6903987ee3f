"""Reading the data samples that the evaluator hands to metrics as nested dictionaries.

In those a pixel or instance data element is a dictionary of its fields and metainfo together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from unimask.errors import UserError, image_name
from unimask.evaluation.panoptic_quality import SegmentMap
from unimask.structures.panoptic import lookup, segments_of
from unimask.structures.taxonomy import Taxonomy

_PREDICTED_BY = dict(
    pred_sem_seg='semantic', pred_instances='instance', pred_panoptic_seg='panoptic')


@contextmanager
def naming_image(sample: Mapping) -> Iterator[None]:
    """Put the image's name in front of an error that the user can mend."""
    try:
        yield
    except UserError as error:
        raise UserError(f'Image {image_name(sample)}: {error}') from error


def taxonomy_of(dataset_meta: Mapping | None, metric: str) -> Taxonomy:
    """The classes of the dataset a metric works on.

    Raises:
        UserError: If the evaluator did not set ``dataset_meta``.
    """
    if not dataset_meta:
        raise UserError(
            f"{metric} does not know the dataset's classes: set evaluator.dataset_meta = "
            f'dataset.metainfo before the first sample (the runner does).')
    return Taxonomy.from_metainfo(dataset_meta)


def predicted(sample: Mapping, key: str, metric: str) -> Mapping:
    """The prediction ``key`` of a sample.

    Raises:
        UserError: If it is absent; names the task that has to be switched on.
    """
    if key not in sample:
        task = _PREDICTED_BY[key]
        raise UserError(
            f'{metric} needs `{key}`, which the model did not predict. Add {task!r} to '
            f'model.test_cfg.tasks, or take {metric} out of val_evaluator and test_evaluator.')
    return sample[key]


def no_truth(metric: str, keys: str) -> UserError:
    """The error of a sample without the ground truth that a metric needs."""
    return UserError(
        f'{metric} needs {keys}, which the sample does not have. Load the annotations in the '
        f"test pipeline (after 'Resize', so that they keep the original size), or take {metric} "
        f'out of val_evaluator and test_evaluator.')


def class_map(pixels: Mapping) -> Tensor:
    """(h, w) map of a pixel data element, which has it as (1, h, w)."""
    values = torch.as_tensor(pixels['sem_seg'])
    if values.ndim == 3 and len(values) == 1:
        return values[0]
    if values.ndim == 2:
        return values
    raise UserError(f'a map must have the shape (1, h, w), but has {tuple(values.shape)}.')


def truth_segments(sample: Mapping, num_classes: int, metric: str) -> SegmentMap:
    """Ground-truth segments of a sample.

    Raises:
        UserError: If ``gt_panoptic_seg`` is absent or has a label outside the classes.
    """
    if 'gt_panoptic_seg' not in sample:
        raise no_truth(metric, '`gt_panoptic_seg`')
    # With segments_info ids are arbitrary and 0 is void, else the class count is, as in mmdet.
    return _segments(sample['gt_panoptic_seg'], num_classes, listed_void=0)


def predicted_segments(sample: Mapping, num_classes: int, metric: str) -> SegmentMap:
    """Predicted segments of a sample; the id of void is the class count, as in mmdet."""
    pixels = predicted(sample, 'pred_panoptic_seg', metric)
    return _segments(pixels, num_classes, listed_void=num_classes)


def _segments(pixels: Mapping, num_classes: int, listed_void: int) -> SegmentMap:
    ids = class_map(pixels)
    found = segments_of(ids, pixels.get('segments_info'), num_classes=num_classes,
                        listed_void=listed_void)
    return SegmentMap(ids, found.ids, found.labels, found.crowd, found.void)


def truth_class_map(
        sample: Mapping, *, num_classes: int, ignore_index: int, metric: str,
) -> tuple[Tensor, int]:
    """Ground-truth classes: of ``gt_sem_seg``, else those of the panoptic segments.

    Returns:
        (h, w) classes and the value that stands for ignored pixels.
    """
    if 'gt_sem_seg' in sample:
        pixels = sample['gt_sem_seg']
        return class_map(pixels), int(pixels.get('ignore_index', ignore_index))
    if 'gt_panoptic_seg' not in sample:
        raise no_truth(metric, '`gt_sem_seg` or `gt_panoptic_seg`')
    segments = truth_segments(sample, num_classes, metric)
    # -1 cannot be a class, whatever number the configuration chose for ignored pixels.
    return lookup(segments.ids, segments.segment_ids, segments.labels, other=-1), -1
