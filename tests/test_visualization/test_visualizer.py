"""Pictures of data samples."""

from itertools import count

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData, PixelData

from unimask.registry import VISUALIZERS
from unimask.visualization import UniversalVisualizer
from unimask.visualization.panels import GAP

H, W = 50, 60
METAINFO = dict(classes=('cat', 'dog', 'sky'), thing_classes=('cat', 'dog'),
                palette=[(200, 40, 40), (40, 200, 40), (40, 40, 200)])
IMAGE = np.full((H, W, 3), 100, np.uint8)
CAT, DOG, SKY = ([200, 40, 40], [40, 200, 40], [40, 40, 200])
CORNER = (H - 3, W - 3)  # a pixel that no caption or outline reaches


NAMES = map('test-{}'.format, count())  # MMEngine gives the same visualizer for the same name


def build(**options) -> UniversalVisualizer:
    visualizer = VISUALIZERS.build(dict(
        type='UniversalVisualizer', name=next(NAMES), alpha=1.0, min_size=1, **options))
    visualizer.dataset_meta = METAINFO
    return visualizer


def panels(picture: np.ndarray, width: int = W, height: int = H) -> list[np.ndarray]:
    """Undo the layout."""
    body = picture[-height:]
    return [body[:, x:x + width] for x in range(0, body.shape[1], width + GAP)]


def pixel_data(values, **info) -> PixelData:
    data = PixelData(sem_seg=torch.as_tensor(values)[None])
    data.set_metainfo(info)
    return data


def panoptic(kind: str, corner_label: int) -> PixelData:
    """A segment of ``corner_label`` on void, in one of the forms of the contract."""
    void, inside = dict(gt=(0, 7), pred=(3, corner_label + 1000), mmdet=(3, corner_label))[kind]
    values = np.full((H, W), void, np.int32)
    values[20:, 20:] = inside
    if kind == 'mmdet':
        return pixel_data(values)
    info = dict(id=inside, category=corner_label) | (dict(score=0.9) if kind == 'pred' else {})
    return pixel_data(values, segments_info=[info])


def instances(label: int, *, score: float | None = None, form: str = 'tensor') -> InstanceData:
    mask = np.zeros((1, H, W), np.uint8)
    mask[:, 20:, 20:] = 1
    masks = dict(
        tensor=lambda: torch.as_tensor(mask).bool(), numpy=lambda: mask.astype(bool),
        bitmap=lambda: BitmapMasks(mask, H, W),
        polygon=lambda: PolygonMasks(
            [[np.array([20., 20, W, 20, W, H, 20, H])]], H, W))[form]()
    data = InstanceData(labels=torch.tensor([label]), masks=masks)
    if score is not None:
        data.scores = torch.tensor([score])
    return data


def semantic(label: int) -> PixelData:
    values = np.full((H, W), 255)
    values[20:, 20:] = label
    return pixel_data(values)


@pytest.mark.parametrize('kind', ['gt', 'pred', 'mmdet'])
@pytest.mark.parametrize('label, colour', [(0, CAT), (2, SKY)])
def test_panoptic_forms(kind, label, colour):
    sample = DetDataSample(gt_panoptic_seg=panoptic(kind, label))
    image, truth = panels(build().draw(IMAGE, sample))
    assert np.array_equal(image, IMAGE)
    assert truth[CORNER].tolist() == colour
    assert truth[1, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize('form', ['tensor', 'numpy', 'bitmap', 'polygon'])
def test_instance_forms(form):
    sample = DetDataSample(gt_instances=instances(1, form=form))
    _, truth = panels(build().draw(IMAGE, sample))
    assert truth[CORNER].tolist() == DOG and truth[5, 5].tolist() == [100, 100, 100]


def test_truth_and_prediction():
    sample = DetDataSample(gt_sem_seg=semantic(2), pred_sem_seg=semantic(0))
    _, truth, prediction = panels(build().draw(IMAGE, sample))
    assert truth[CORNER].tolist() == SKY and prediction[CORNER].tolist() == CAT


def full_sample() -> DetDataSample:
    return DetDataSample(
        gt_panoptic_seg=panoptic('gt', 0), gt_instances=instances(1), gt_sem_seg=semantic(2),
        pred_panoptic_seg=panoptic('pred', 0), pred_instances=instances(1, score=0.9),
        pred_sem_seg=semantic(2))


@pytest.mark.parametrize('task, colour', [
    (None, CAT), ('panoptic', CAT), ('instance', DOG), ('semantic', SKY)])
def test_task_option(task, colour):
    drawn = panels(build(task=task).draw(IMAGE, full_sample()))
    assert [panel[CORNER].tolist() for panel in drawn[1:]] == [colour, colour]


def test_common_task_is_preferred():
    sample = DetDataSample(gt_panoptic_seg=panoptic('gt', 0), gt_sem_seg=semantic(2),
                           pred_sem_seg=semantic(2))
    drawn = panels(build().draw(IMAGE, sample))
    assert [panel[CORNER].tolist() for panel in drawn[1:]] == [SKY, SKY]


def test_different_tasks_are_drawn_where_none_is_common():
    sample = DetDataSample(gt_sem_seg=semantic(2), pred_instances=instances(1, score=0.9))
    drawn = panels(build().draw(IMAGE, sample))
    assert [panel[CORNER].tolist() for panel in drawn[1:]] == [SKY, DOG]


def test_parts_can_be_left_out():
    visualizer, sample = build(), full_sample()
    assert len(panels(visualizer.draw(IMAGE, sample))) == 3
    assert len(panels(visualizer.draw(IMAGE, sample, draw_gt=False))) == 2
    assert len(panels(visualizer.draw(IMAGE, sample, draw_pred=False))) == 2
    assert len(panels(visualizer.draw(IMAGE, None))) == 1
    assert len(panels(visualizer.draw(IMAGE, DetDataSample()))) == 1


def test_empty_predictions():
    nothing = InstanceData(labels=torch.zeros(0, dtype=torch.long), scores=torch.zeros(0),
                           masks=torch.zeros(0, H, W, dtype=torch.bool))
    _, prediction = panels(build().draw(IMAGE, DetDataSample(pred_instances=nothing)))
    assert np.array_equal(prediction, IMAGE)
    void = pixel_data(np.full((H, W), 3), segments_info=[])
    _, prediction = panels(build().draw(IMAGE, DetDataSample(pred_panoptic_seg=void)))
    assert prediction[CORNER].max() <= 96


def test_low_scores_are_left_out():
    sample = DetDataSample(pred_instances=instances(1, score=0.4))
    _, prediction = panels(build().draw(IMAGE, sample, min_score=0.5))
    assert np.array_equal(prediction, IMAGE)
    _, prediction = panels(build().draw(IMAGE, sample, min_score=0.3))
    assert prediction[CORNER].tolist() == DOG


def test_annotation_of_another_size_is_fitted():
    image = np.full((2 * H, 2 * W, 3), 100, np.uint8)
    drawn = panels(build().draw(image, full_sample()), 2 * W, 2 * H)
    assert [panel[-3, -3].tolist() for panel in drawn[1:]] == [CAT, CAT]
    drawn = panels(build(task='instance').draw(image, full_sample()), 2 * W, 2 * H)
    assert [panel[-3, -3].tolist() for panel in drawn[1:]] == [DOG, DOG]


def test_small_pictures_are_enlarged():
    visualizer = UniversalVisualizer(min_size=100)
    visualizer.dataset_meta = METAINFO
    image, *_ = panels(visualizer.draw(IMAGE, full_sample()), 2 * W, 2 * H)
    assert np.array_equal(image[::2, ::2], IMAGE)


def test_out_file_is_rgb(tmp_path):
    image = np.zeros((H, W, 3), np.uint8)
    image[..., 0] = 250
    build().add_datasample('x', image, full_sample(), out_file=tmp_path / 'sub/x.png')
    written = cv2.imread(str(tmp_path / 'sub/x.png'))
    assert written[-1, 0].tolist() == [0, 0, 250]


def test_backends_store_the_picture(tmp_path):
    visualizer = build(vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path))
    visualizer.add_datasample('x', IMAGE, full_sample(), step=4)
    written, = tmp_path.rglob('x_4.png')
    assert cv2.imread(str(written)).shape[1] == 3 * W + 2 * GAP


def test_unknown_task():
    with pytest.raises(ValueError, match='panoptik'):
        UniversalVisualizer(task='panoptik')


def test_missing_classes():
    with pytest.raises(ValueError, match='dataset_meta'):
        UniversalVisualizer().draw(IMAGE, full_sample())
