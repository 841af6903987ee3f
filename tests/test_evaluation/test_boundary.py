"""Boundary AP and Boundary IoU, against the definition written out slowly."""

import contextlib
import io
import json

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from unimask.errors import UserError
from unimask.evaluation import MaskAPMetric, MeanIoUMetric, boundary_areas, mask_boundary
from unimask.evaluation.boundary import boundary_distance, boundary_pixels
from unimask.evaluation.coco_ap import average_precision

H, W = 60, 80  # a boundary of 2 pixels
NAMES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl')


def slow_boundary(mask: np.ndarray, distance: int) -> np.ndarray:
    """Pixels of the mask whose neighbourhood leaves the mask or the image."""
    padded = np.pad(mask, distance)
    boundary = np.zeros_like(mask)
    for y, x in zip(*np.nonzero(mask), strict=True):
        boundary[y, x] = not padded[y:y + 2 * distance + 1, x:x + 2 * distance + 1].all()
    return boundary


def blobs(rng: np.random.Generator, count: int, size: tuple[int, int] = (H, W)) -> np.ndarray:
    """(count, h, w) masks with holes that also touch the image's edge."""
    masks = np.zeros((count, *size), bool)
    for mask in masks:
        for filled in (True, True, False):
            top, left = rng.integers(-5, size[0] - 10), rng.integers(-5, size[1] - 10)
            height, width = rng.integers(6, 30, 2)
            mask[max(top, 0):top + height, max(left, 0):left + width] = filled
    return masks


def test_distance_is_two_percent_of_the_diagonal():
    assert [boundary_distance(*size) for size in ((480, 640), (60, 80), (3, 4))] == [16, 2, 1]


def test_mask_boundary_equals_the_definition():
    for mask in blobs(np.random.default_rng(0), 20):
        np.testing.assert_array_equal(mask_boundary(mask), slow_boundary(mask, 2))
    assert not mask_boundary(np.zeros((H, W), bool)).any()


def test_boundaries_of_a_label_map_are_those_of_its_classes():
    labels = blobs(np.random.default_rng(1), 3).argmax(0) - 1
    near = boundary_pixels(labels, 2)
    for label in (-1, 0, 1):
        np.testing.assert_array_equal(near & (labels == label), slow_boundary(labels == label, 2))


def make_samples(rng: np.random.Generator) -> list[DetDataSample]:
    samples = []
    for number in range(6):
        truth = blobs(rng, 6)
        found = np.concatenate([np.roll(truth, rng.integers(-1, 2), 1), blobs(rng, 2)])
        sample = DetDataSample(metainfo=dict(img_id=number))
        sample.gt_instances = InstanceData(
            labels=torch.zeros(5).long(), masks=torch.as_tensor(truth[:5]))
        sample.ignored_instances = InstanceData(
            labels=torch.zeros(1).long(), masks=torch.as_tensor(truth[5:]))
        sample.pred_instances = InstanceData(
            labels=torch.zeros(8).long(), masks=torch.as_tensor(found),
            scores=torch.as_tensor(rng.random(8)))
        samples.append(sample)
    return samples


def slow_overlaps(found: np.ndarray, truth: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """min(mask IoU, boundary IoU); of a crowd, the share of the detection inside."""
    table = np.zeros((len(found), len(truth)))
    for i, guess in enumerate(found):
        for j, mask in enumerate(truth):
            if crowd[j]:
                table[i, j] = (guess & mask).sum() / max(1, guess.sum())
                continue
            pairs = (guess, mask), (slow_boundary(guess, 2), slow_boundary(mask, 2))
            table[i, j] = min((a & b).sum() / max(1, (a | b).sum()) for a, b in pairs)
    return table


class SlowEvaluation(COCOeval):
    """COCO's matching with the overlaps of the samples' own masks."""

    samples: list[DetDataSample]

    def computeIoU(self, imgId, catId):
        sample = self.samples[imgId]
        order = np.argsort(-sample.pred_instances.scores.numpy(), kind='mergesort')
        truth = np.concatenate([sample.gt_instances.masks, sample.ignored_instances.masks])
        return slow_overlaps(
            sample.pred_instances.masks.numpy()[order], truth, np.arange(len(truth)) == 5)


def coco(samples: list[DetDataSample], *, truth: bool) -> COCO:
    """Annotations without outlines: the overlaps come from elsewhere."""
    annotations = []
    for sample in samples:
        masks = sample.pred_instances.masks
        if truth:
            masks = torch.cat([sample.gt_instances.masks, sample.ignored_instances.masks])
        for index, mask in enumerate(masks):
            annotations.append(dict(
                id=len(annotations) + 1, image_id=sample.img_id, category_id=0,
                iscrowd=int(truth and index == 5), area=int(mask.sum()), bbox=[0, 0, 1, 1],
                score=0 if truth else float(sample.pred_instances.scores[index])))
    made = COCO()
    made.dataset = dict(images=[dict(id=s.img_id) for s in samples], annotations=annotations,
                        categories=[dict(id=0)])
    made.createIndex()
    return made


def scores(metric, samples, meta) -> dict:
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = meta
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


def test_boundary_ap():
    samples = make_samples(np.random.default_rng(2))
    with contextlib.redirect_stdout(io.StringIO()):
        slow = SlowEvaluation(coco(samples, truth=True), coco(samples, truth=False), 'bbox')
        slow.samples = samples
        slow.evaluate()
        slow.accumulate()
        slow.summarize()
    metric = MaskAPMetric(iou_types=('boundary', 'segm'))
    result = scores(metric, samples, dict(classes=('cat',)))
    for name, value in zip(NAMES, slow.stats.tolist(), strict=False):
        if value >= 0:
            assert result[f'instance/boundary_{name}'] == pytest.approx(100 * value), name
    assert 5 < result['instance/boundary_AP'] < result['instance/AP'] < 99
    alone = scores(MaskAPMetric(iou_types=('segm',)), samples, dict(classes=('cat',)))
    assert alone['instance/AP'] == result['instance/AP'] and len(alone) == 6
    assert [table.columns for table in metric.class_tables] == [
        ('boundary_AP', 'boundary_AP50'), ('AP', 'AP50')]
    with pytest.raises(UserError, match="'boundary'"):
        MaskAPMetric(iou_types=('edge',))


def test_boundary_iou_of_classes():
    rng = np.random.default_rng(3)
    truth = blobs(rng, 3).argmax(0)
    guess = np.roll(truth, 1, axis=1)
    truth[:9, :30] = 255
    expected = np.zeros((3, 3), int)
    ignored = truth == 255
    for label in range(3):
        # What is ignored is ignored in both.
        a = slow_boundary((guess == label) & ~ignored, 2)
        b = slow_boundary(truth == label, 2)
        expected[:, label] = (a & b).sum(), a.sum(), b.sum()
    areas = boundary_areas(torch.as_tensor(guess), torch.as_tensor(truth), num_classes=3,
                           ignore_index=255)
    np.testing.assert_array_equal(areas, expected)
    sample = DetDataSample(metainfo=dict(img_id=0))
    sample.gt_sem_seg = PixelData(sem_seg=torch.as_tensor(truth)[None])
    sample.pred_sem_seg = PixelData(sem_seg=torch.as_tensor(guess)[None])
    meta = dict(classes=('a', 'b', 'c'))
    both, plain = (scores(MeanIoUMetric(boundary=value), [sample], meta) for value in (True, False))
    iou = expected[0] / (expected[1] + expected[2] - expected[0])
    assert both.pop('semantic/boundary_mIoU') == pytest.approx(100 * iou.mean())
    assert both == plain
    assert 100 * iou.mean() < plain['semantic/mIoU']


def test_boundary_ap_of_recorded_predictions(shared_data):
    """The numbers that faster-coco-eval 1.8.0 (iouType 'boundary') gives for these files."""
    truth = json.loads((shared_data / 'coco_mini/annotations/instances_val.json').read_text())
    guess = json.loads((shared_data / 'eval_check/coco_mini_val/pred/instances.json').read_text())
    found = [dict(one, id=number, area=float(coco_mask.area(one['segmentation'])))
             for number, one in enumerate(guess, start=1)]
    result = average_precision(
        truth, found, category_ids=[one['id'] for one in truth['categories']],
        image_ids=[one['id'] for one in truth['images']], iou_type='boundary', backend='auto')
    expected = (0.201202602303, 0.377579514946, 0.171105250160, 0.143100664415, 0.318228552021,
                0.333514477906)
    assert list(result.summary.values()) == pytest.approx(expected, abs=1e-11)
