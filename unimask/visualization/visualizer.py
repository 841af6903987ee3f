"""Side-by-side pictures of image, truth and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmengine.dist import master_only
from mmengine.structures import BaseDataElement, PixelData
from mmengine.visualization import Visualizer

from unimask.data_sample import DataSample
from unimask.errors import UserError
from unimask.registry import VISUALIZERS
from unimask.structures.arrays import as_array
from unimask.structures.taxonomy import Taxonomy
from unimask.visualization.drawing import (
    ALPHA,
    draw_instances,
    draw_panoptic,
    draw_semantic,
)
from unimask.visualization.panels import in_rows, legend, side_by_side
from unimask.visualization.reading import (
    FIELDS,
    field_of,
    instances_from,
    panoptic_from,
    resize_map,
    semantic_from,
)

__all__ = ['UniversalVisualizer']

TITLES = dict(gt='truth', pred='prediction')
PRIOR_ALPHA = 0.75  # a prior is looked at for its edges: more paint, less picture
MOST_NAMES = 30  # of classes below a prior: those with the most pixels
PRIOR_EDGE = 640  # pixels of a panel's longer edge, at most


@VISUALIZERS.register_module()
class UniversalVisualizer(Visualizer):
    """Draws image, truth and prediction of any segmentation task beside each other.

    Class names and colours come from ``dataset_meta``, which the runner sets.

    Args:
        name: Of this visualizer.
        vis_backends: Configs of MMEngine's backends, which store pictures and scalars.
        save_dir: Folder of the backends.
        task: ``panoptic``, ``instance`` or ``semantic``. None takes the first of these that truth
            and prediction have both, else the first that each of them has.
        alpha: Opacity of the paint.
        min_size: Smaller pictures are enlarged by a whole number until their longer edge has as
            many pixels, so that names can be read.

    Raises:
        UserError: If ``task`` is unknown.
    """

    def __init__(self, name: str = 'visualizer', *, vis_backends: list[dict] | None = None,
                 save_dir: str | None = None, task: str | None = None, alpha: float = ALPHA,
                 min_size: int = 400) -> None:
        super().__init__(name=name, vis_backends=vis_backends, save_dir=save_dir)
        if task not in (None, *FIELDS):
            raise UserError(f'UniversalVisualizer: task is {task!r}, '
                             f'but must be one of {tuple(FIELDS)} or None')
        self.task = task
        self.alpha = alpha
        self.min_size = min_size

    @master_only
    def add_datasample(self, name: str, image: np.ndarray,
                       data_sample: DataSample | None = None, draw_gt: bool = True,
                       draw_pred: bool = True, show: bool = False, wait_time: float = 0,
                       out_file: str | None = None, pred_score_thr: float = 0.3,
                       step: int = 0) -> None:
        """Draw a data sample and store the picture. The signature is that of MMDetection.

        Args:
            name: Of the picture in the backends.
            image: (h, w, 3) uint8, RGB.
            data_sample: Truth and prediction, any part of which may be absent.
            draw_gt: Whether the truth is drawn.
            draw_pred: Whether the prediction is drawn.
            show: Also open a window.
            wait_time: Seconds that the window stays; 0 waits for a key.
            out_file: File for the picture; without it the backends store it.
            pred_score_thr: Instances with a lower score are left out.
            step: Of the picture in the backends.
        """
        picture = self.draw(image, data_sample, draw_gt=draw_gt, draw_pred=draw_pred,
                            min_score=pred_score_thr)
        if show:
            self.set_image(picture)
            self.show(picture, win_name=name, wait_time=wait_time)
        if out_file is not None:
            _write(picture, Path(out_file))
        else:
            self.add_image(name, picture, step)

    def draw(self, image: np.ndarray, sample: DataSample | None, *, draw_gt: bool = True,
             draw_pred: bool = True, min_score: float = 0.3) -> np.ndarray:
        """Draw the panels ``image``, ``truth`` and ``prediction``, those that there are.

        Args:
            image: (h, w, 3), RGB.
            sample: Truth and prediction.
            draw_gt: Whether the truth is drawn.
            draw_pred: Whether the prediction is drawn.
            min_score: Instances with a lower score are left out.

        Returns:
            The picture, RGB uint8.
        """
        if image.dtype != np.uint8:
            image = np.clip(image, 0, 255).astype(np.uint8)
        image = self._enlarge(image)
        panels = dict(image=image)
        sources = [s for s, wanted in (('gt', draw_gt), ('pred', draw_pred)) if wanted]
        if sample is not None:
            for source, task in self._tasks(sample, sources).items():
                data = field_of(sample, source, task)
                panels[TITLES[source]] = self._panel(image, task, data, min_score)
        return side_by_side(panels)

    def paint(self, image: np.ndarray, sample: DataSample, task: str, *,
              min_score: float = 0.0) -> np.ndarray:
        """Paint the prediction for one task on the picture, without panels and titles.

        Args:
            image: (h, w, 3) uint8, RGB.
            sample: With the prediction.
            task: ``panoptic``, ``instance`` or ``semantic``.
            min_score: Instances with a lower score are left out.

        Returns:
            The picture, RGB uint8, of the same size.

        Raises:
            UserError: There is no prediction for the task.
        """
        data = field_of(sample, 'pred', task)
        if data is None:
            raise UserError(f'UniversalVisualizer: there is no prediction for the task {task!r}')
        return self._panel(image, task, data, min_score)

    def draw_prior(self, image: np.ndarray, prior: PixelData) -> np.ndarray:
        """Draw SeMask's semantic prior: a panel for each stage of the encoder, one for their sum.

        Below them stand the names of the classes that occur.

        Args:
            image: (h, w, 3) uint8, RGB.
            prior: ``sem_seg`` (1, h, w) and ``stages`` (S, h, w), as in a sample's ``pred_prior``.

        Returns:
            The picture, RGB uint8; of larger images each panel is made smaller.
        """
        image = _shrink(self._enlarge(image))
        taxonomy, size = self._taxonomy(), image.shape[:2]
        maps = {f'stage {number}': stage for number, stage in enumerate(prior.stages, 1)}
        maps['all stages'] = prior.sem_seg[0]
        maps = {title: resize_map(as_array(labels), *size) for title, labels in maps.items()}
        panels = dict(image=image) | {
            title: draw_semantic(image, labels, taxonomy, alpha=PRIOR_ALPHA,
                                 captions=title == 'all stages')
            for title, labels in maps.items()}
        picture = in_rows(panels, columns=3)
        counts = np.bincount(np.stack([*maps.values()]).ravel(), minlength=taxonomy.num_classes)
        shown = [label for label in counts.argsort(kind='stable')[::-1] if counts[label]]
        return np.concatenate([picture, legend(shown[:MOST_NAMES], taxonomy, picture.shape[1])])

    def _tasks(self, sample: DataSample, sources: list[str]) -> dict[str, str]:
        """The task to draw by source, of those sources that have anything to draw."""
        allowed = FIELDS if self.task is None else (self.task,)
        found = {s: [t for t in allowed if field_of(sample, s, t) is not None] for s in sources}
        found = {source: tasks for source, tasks in found.items() if tasks}
        common = [t for t in allowed if all(t in tasks for tasks in found.values())]
        return {source: (common or tasks)[0] for source, tasks in found.items()}

    def _panel(self, image: np.ndarray, task: str, data: BaseDataElement,
               min_score: float) -> np.ndarray:
        taxonomy, size = self._taxonomy(), image.shape[:2]
        if task == 'panoptic':
            panoptic = panoptic_from(data, taxonomy)
            return draw_panoptic(image, resize_map(panoptic.segment_map, *size), panoptic.labels,
                                 taxonomy, scores=panoptic.scores, alpha=self.alpha)
        if task == 'semantic':
            label_map = resize_map(semantic_from(data), *size)
            return draw_semantic(image, label_map, taxonomy, alpha=self.alpha)
        found = instances_from(data, min_score)
        return draw_instances(image, _Fitted(found.masks, size), found.labels, taxonomy,
                              scores=found.scores, alpha=self.alpha)

    def _enlarge(self, image: np.ndarray) -> np.ndarray:
        factor = max(1, -(-self.min_size // max(image.shape[:2])))
        if factor == 1:
            return image
        return image.repeat(factor, 0).repeat(factor, 1)

    def _taxonomy(self) -> Taxonomy:
        if not self.dataset_meta:
            raise UserError('UniversalVisualizer: set `dataset_meta` to the metainfo of the '
                             'dataset first; it names and colours the classes')
        return Taxonomy.from_metainfo(self.dataset_meta)


def _write(picture: np.ndarray, file: Path) -> None:
    _, code = cv2.imencode(file.suffix, picture[..., ::-1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(code)


def _shrink(image: np.ndarray) -> np.ndarray:
    factor = PRIOR_EDGE / max(image.shape[:2])
    if factor >= 1:
        return image
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


class _Fitted(Sequence):
    """Masks resized to the picture, one at a time."""

    def __init__(self, masks: Sequence[np.ndarray], size: tuple[int, int]) -> None:
        self._masks = masks
        self._size = size

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, index: int) -> np.ndarray:
        return resize_map(self._masks[index], *self._size)
