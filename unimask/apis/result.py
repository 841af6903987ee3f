"""What a model found in a picture, in numpy.

Shapes: (h, w) size of the picture, N instances.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData

from unimask.apis.output import OutputFolder
from unimask.apis.pictures import Picture
from unimask.data_sample import DataSample
from unimask.errors import UserError
from unimask.structures import Taxonomy
from unimask.structures.arrays import as_array
from unimask.structures.panoptic import lookup
from unimask.utils.rle import run_length_code
from unimask.visualization import UniversalVisualizer

if TYPE_CHECKING:
    import supervision

__all__ = ['Instances', 'Result', 'Segment']


@dataclass(frozen=True)
class Instances:
    """Objects, the surest first.

    Attributes:
        masks: (N, h, w) bool.
        labels: (N,) int64.
        names: Of their classes.
        scores: (N,) float32.
        boxes: (N, 4) float32: x0, y0, x1, y1 in pixels.
    """

    masks: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    scores: np.ndarray
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Segment:
    """A segment of a panoptic map.

    Attributes:
        id: In the map.
        label: Its class.
        name: Of the class.
        is_thing: Whether it is one of several objects.
        score: How sure it is.
        area: Pixels.
    """

    id: int
    label: int
    name: str
    is_thing: bool
    score: float
    area: int


@dataclass(frozen=True)
class Result:
    """What was found in a picture; what the model does not predict is None.

    Attributes:
        image: (h, w, 3) uint8, RGB.
        name: Of the picture, for files.
        taxonomy: The classes.
        semantic: (h, w) int64, label of every pixel.
        confidence: (h, w) float32 from 0 to 1, how sure ``semantic`` is of it.
        instances: Objects.
        panoptic: (h, w) int32, 0 where there is nothing, else the id of a segment.
        segments: Of ``panoptic``.
        prior: (S + 1, h, w) int64, labels by SeMask's semantic prior: of the S stages of the
            encoder, fine to coarse, and last of their sum. None unless it was asked for.
    """

    image: np.ndarray
    name: str
    taxonomy: Taxonomy
    semantic: np.ndarray | None = None
    confidence: np.ndarray | None = None
    instances: Instances | None = None
    panoptic: np.ndarray | None = None
    segments: tuple[Segment, ...] = ()
    prior: np.ndarray | None = None
    sample: DataSample | None = field(default=None, repr=False)

    @classmethod
    def from_sample(cls, sample: DataSample, image: np.ndarray, taxonomy: Taxonomy, *,
                    name: str, min_score: float = 0.0, duplicate_iou: float = 1.0) -> Result:
        """The prediction of a data sample.

        Args:
            sample: With ``pred_sem_seg``, ``pred_instances``, ``pred_panoptic_seg``, or some; and
                ``pred_prior``, if there is one.
            image: (h, w, 3) uint8, RGB.
            taxonomy: The classes.
            name: Of the picture.
            min_score: Instances with a lower score are left out.
            duplicate_iou: Of instances of a class whose masks overlap more, the best stays.
        """
        found: dict[str, Any] = {}
        if 'pred_sem_seg' in sample:
            found['semantic'] = as_array(sample.pred_sem_seg.sem_seg)[0]
            if 'confidence' in sample.pred_sem_seg:
                found['confidence'] = as_array(sample.pred_sem_seg.confidence)[0]
        if 'pred_instances' in sample:
            kept = _kept(sample.pred_instances, min_score, duplicate_iou)
            sample = sample.clone()
            sample.pred_instances = sample.pred_instances[kept]
            found['instances'] = _instances(sample.pred_instances, taxonomy, image.shape[:2])
        if 'pred_panoptic_seg' in sample:
            found['panoptic'], found['segments'] = _panoptic(sample.pred_panoptic_seg, taxonomy)
        if 'pred_prior' in sample:
            prior = sample.pred_prior
            found['prior'] = np.concatenate([as_array(prior.stages), as_array(prior.sem_seg)])
        return cls(np.ascontiguousarray(image), name, taxonomy, sample=sample, **found)

    @cached_property
    def _visualizer(self) -> UniversalVisualizer:
        visualizer = UniversalVisualizer()
        visualizer.dataset_meta = self.taxonomy.to_metainfo()
        return visualizer

    def overlay(self, task: str | None = None) -> np.ndarray:
        """The picture with what was found painted on it, RGB uint8.

        Args:
            task: ``panoptic``, ``instance`` or ``semantic``; None for the first of these.
                ``prior`` for the semantic prior: a panel for each stage and for their sum.

        Raises:
            UserError: The model does not predict that, or it was not asked for.
        """
        if task == 'prior':
            if self.prior is None:
                raise UserError('overlay: the result has no semantic prior. Ask for it by '
                                'Segmenter.from_pretrained(..., prior=True).')
            return self._visualizer.draw_prior(self.image, self.sample.pred_prior)
        there = dict(panoptic=self.panoptic, instance=self.instances, semantic=self.semantic)
        tasks = [name for name, value in there.items() if value is not None]
        if task is None:
            task = tasks[0]
        if task not in tasks:
            raise UserError(f'overlay: the model predicts {", ".join(tasks)}, not {task}.')
        return self._visualizer.paint(self.image, self.sample, task)

    def save(self, folder: str | Path) -> None:
        """Write drawing, maps and ``predictions.json``, see ``unimask predict``."""
        picture = Picture(self.image[..., ::-1], self.name, self.name)
        with OutputFolder(folder, self.taxonomy, min_score=0.0) as output:
            output.write(picture, self.image[..., ::-1], self.sample)

    def to_coco(self, image_id: int | str = 0) -> list[dict]:
        """Entries of a COCO result file: masks as run-length codes, boxes x, y, width, height.

        Raises:
            UserError: The model predicts no instances.
        """
        found = self._instances('to_coco')
        return [dict(image_id=image_id, category_id=int(label), score=float(score),
                     bbox=[float(side) for side in (*box[:2], *(box[2:] - box[:2]))],
                     segmentation=run_length_code(mask))
                for mask, label, score, box in zip(found.masks, found.labels, found.scores,
                                                   found.boxes, strict=True)]

    def to_supervision(self) -> supervision.Detections:
        """The instances for the package supervision.

        Raises:
            UserError: The model predicts no instances, or the package is not installed.
        """
        found = self._instances('to_supervision')
        try:
            import supervision
        except ImportError:
            raise UserError('to_supervision needs the package: pip install supervision') from None
        return supervision.Detections(
            xyxy=found.boxes, mask=found.masks, confidence=found.scores, class_id=found.labels,
            data=dict(class_name=np.array(found.names)))

    def _instances(self, use: str) -> Instances:
        if self.instances is None:
            raise UserError(f'{use} is for instances, and the model predicts none. Use semantic or '
                            'panoptic, or a model for the task instance.')
        return self.instances


def _kept(instances: InstanceData, min_score: float, duplicate_iou: float) -> torch.Tensor:
    """Indices of instances, the surest first."""
    scores, labels = as_array(instances.scores), as_array(instances.labels)
    kept: list[int] = []
    masks: dict[int, np.ndarray] = {}
    for index in np.argsort(-scores, kind='stable').tolist():
        if scores[index] < min_score:
            break
        if duplicate_iou < 1:
            masks[index] = as_array(instances.masks[index]).astype(bool)
            if any(_iou(masks[index], masks[other]) > duplicate_iou for other in kept
                   if labels[other] == labels[index]):
                continue
        kept.append(index)
    return torch.tensor(kept, dtype=torch.int64)


def _iou(first: np.ndarray, second: np.ndarray) -> float:
    both = np.count_nonzero(first & second)
    return both / max(np.count_nonzero(first) + np.count_nonzero(second) - both, 1)


def _instances(found: InstanceData, taxonomy: Taxonomy, size: tuple[int, int]) -> Instances:
    labels = as_array(found.labels)
    masks = [as_array(found.masks[index]).astype(bool) for index in range(len(labels))]
    return Instances(
        masks=np.stack(masks) if masks else np.zeros((0, *size), bool), labels=labels,
        names=tuple(taxonomy.classes[label] for label in labels),
        scores=as_array(found.scores), boxes=as_array(found.bboxes))


def _panoptic(found: PixelData, taxonomy: Taxonomy
              ) -> tuple[np.ndarray, tuple[Segment, ...]]:
    segments = tuple(_segments(found.segments_info, taxonomy))
    ids = lookup(found.sem_seg[0], [info['id'] for info in found.segments_info],
                 [segment.id for segment in segments], other=0)
    return as_array(ids).astype(np.int32), segments


def _segments(infos: list[dict], taxonomy: Taxonomy) -> Iterator[Segment]:
    for number, info in enumerate(infos, 1):
        yield Segment(number, info['category'], taxonomy.classes[info['category']],
                      taxonomy.is_thing(info['category']), float(info['score']),
                      int(info['area']))
