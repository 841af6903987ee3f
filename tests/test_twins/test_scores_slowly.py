"""Metrics against dictionaries of sets of pixels."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from door import taxonomy
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from unimask.registry import METRICS

CLASSES, THINGS, SIZE, IMAGES = 4, (0, 2), (12, 15), 6
META = taxonomy(CLASSES, THINGS).to_metainfo()


def scores(metric: dict, samples: list) -> dict[str, float]:
    evaluator = Evaluator(METRICS.build(metric))
    evaluator.dataset_meta = META
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


def pixels(values: np.ndarray, segments: list[dict] | None = None, **meta: object) -> PixelData:
    data = PixelData(sem_seg=torch.as_tensor(values)[None])
    data.set_metainfo(meta if segments is None else dict(meta, segments_info=segments))
    return data


# --------------------------------------------------------------------------------- panoptic quality

def panoptic_pair(rng: np.random.Generator) -> tuple[np.ndarray, list, np.ndarray, list]:
    """Truth and prediction that agree mostly, with void, crowds and segments without a pixel."""
    truth = rng.integers(0, 6, (4, 5)).repeat(3, 0).repeat(3, 1)
    guess = np.where(rng.random(SIZE) < 0.15, rng.integers(0, 6, SIZE), np.roll(truth, 1, 1))
    infos = [dict(id=i, category=int(rng.integers(0, CLASSES)), iscrowd=int(rng.random() < 0.25))
             for i in range(1, 7)]
    labels = [s['category'] if rng.random() < 0.8 else int(rng.integers(0, CLASSES))
              for s in infos]
    found = [dict(id=1000 * (i + 1) + label, category=label) for i, label in enumerate(labels)]
    table = np.array([CLASSES] + [s['id'] for s in found])
    return truth, infos, table[guess], found


def places(ids: np.ndarray, identity: int) -> set[tuple[int, int]]:
    return set(zip(*(axis.tolist() for axis in np.nonzero(ids == identity)), strict=True))


def count(pair: tuple, total: dict) -> None:
    """Add an image's matches to ``total``: class -> [IoU, TP, FP, FN]."""
    truth, infos, guess, found = pair
    void = places(truth, 0)
    own = [(s['category'], s['iscrowd'], places(truth, s['id'])) for s in infos]
    theirs = [(s['category'], places(guess, s['id'])) for s in found]
    matched_truth, matched = set(), set()
    for i, (label, crowd, area) in enumerate(own):
        for j, (other, other_area) in enumerate(theirs):
            union = len(area | (other_area - void))
            if crowd or label != other or not union:
                continue
            iou = len(area & other_area) / union
            if iou > 0.5:
                matched_truth.add(i)
                matched.add(j)
                total[label][0] += iou
                total[label][1] += 1
    for i, (label, crowd, _) in enumerate(own):
        if not crowd and i not in matched_truth:
            total[label][3] += 1
    for j, (label, area) in enumerate(theirs):
        crowds = [crowd_area for other, crowd, crowd_area in own if crowd and other == label]
        ignored = len(area & void) + (len(area & crowds[-1]) if crowds else 0)
        if j not in matched and area and ignored / len(area) <= 0.5:
            total[label][2] += 1


def quality(total: dict, labels: list[int]) -> list[float]:
    """Mean PQ, SQ, RQ in percent over the classes that occur."""
    rows = []
    for label in labels:
        iou, tp, fp, fn = total[label]
        if tp + fp + fn:
            weight = tp + fp / 2 + fn / 2
            rows.append((iou / weight, iou / tp if tp else 0, tp / weight))
    return (100 * np.mean(rows, 0)).tolist() if rows else [float('nan')] * 3


@pytest.mark.parametrize('seed', range(4))
def test_panoptic_quality(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [panoptic_pair(rng) for _ in range(IMAGES)]
    total, samples = {label: [0.0, 0, 0, 0] for label in range(CLASSES)}, []
    for number, pair in enumerate(pairs):
        count(pair, total)
        sample = DetDataSample(metainfo=dict(img_id=number))
        sample.gt_panoptic_seg = pixels(pair[0], pair[1])
        sample.pred_panoptic_seg = pixels(pair[2], pair[3])
        samples.append(sample)
    found = scores(dict(type='PQMetric'), samples)
    groups = {'': range(CLASSES), '_th': THINGS, '_st': [1, 3]}
    for suffix, labels in groups.items():
        own = [found[f'panoptic/{name}{suffix}'] for name in ('PQ', 'SQ', 'RQ')]
        assert own == pytest.approx(quality(total, list(labels)), abs=1e-9, nan_ok=True)
    assert all(sum(own[i] for own in total.values()) for i in (1, 2, 3)), total


def row(*values: int) -> np.ndarray:
    return np.array([values])


def one_image(truth: np.ndarray, infos: list, guess: np.ndarray, found: list) -> float:
    sample = DetDataSample(metainfo=dict(img_id=0))
    sample.gt_panoptic_seg, sample.pred_panoptic_seg = pixels(truth, infos), pixels(guess, found)
    return scores(dict(type='PQMetric'), [sample])['panoptic/PQ']


def test_a_match_needs_more_than_half() -> None:
    """IoU 2 / 4 is no match, 3 / 5 is one; half of a prediction on void is not forgiven."""
    info, found = [dict(id=1, category=0)], [dict(id=1000, category=0)]
    assert one_image(row(1, 1, 1, 9), [*info, dict(id=9, category=1)],
                     row(4, 1000, 1000, 1000), found) == pytest.approx(0)
    assert one_image(row(1, 1, 1, 1, 9), [*info, dict(id=9, category=1)],
                     row(4, 1000, 1000, 1000, 1000), found) == pytest.approx(60 / 2)
    # A false positive of class 1 counts: its PQ of 0 halves the mean; beyond half it is ignored.
    other = [*found, dict(id=1001, category=1)]
    assert one_image(row(1, 1, 1, 0), info, row(1000, 1000, 1001, 1001), other) == pytest.approx(
        100 * (2 / 3) / 2)
    assert one_image(row(1, 1, 1, 0, 0), info, row(1000, 1000, 1001, 1001, 1001), other
                     ) == pytest.approx(100 * 2 / 3)


# ----------------------------------------------------------------------------------------- mean IoU

@pytest.mark.parametrize('average', ['gt_present', 'union_present'])
@pytest.mark.parametrize('own_ignored', [False, True])
def test_mean_iou(average: str, own_ignored: bool) -> None:
    """Class 3 occurs in predictions alone; a value outside of the classes is always wrong."""
    rng, samples = np.random.default_rng(1), []
    agree, truths, guesses = ([set() for _ in range(CLASSES)] for _ in range(3))
    wanted = 0
    for number in range(3):
        truth = rng.integers(0, 3, SIZE)
        guess = np.where(rng.random(SIZE) < 0.4, rng.integers(0, CLASSES + 2, SIZE), truth)
        truth[rng.random(SIZE) < 0.2] = 9 if own_ignored else 255
        sample = DetDataSample(metainfo=dict(img_id=number))
        sample.gt_sem_seg = pixels(truth, **(dict(ignore_index=9) if own_ignored else {}))
        sample.pred_sem_seg = pixels(guess)
        samples.append(sample)
        for y, x in np.ndindex(SIZE):
            if truth[y, x] < CLASSES:
                place = (number, y, x)
                wanted += 1
                truths[truth[y, x]].add(place)
                if guess[y, x] < CLASSES:
                    guesses[guess[y, x]].add(place)
                if guess[y, x] == truth[y, x]:
                    agree[truth[y, x]].add(place)
    ious = [len(a) / len(t | g) if t | g else None
            for a, t, g in zip(agree, truths, guesses, strict=True)]
    present = range(3) if average == 'gt_present' else range(CLASSES)
    expected = dict(
        mIoU=np.mean([ious[k] for k in present]),
        mAcc=np.mean([len(agree[k]) / len(truths[k]) for k in range(3)]),
        aAcc=sum(map(len, agree)) / wanted,
        fwIoU=sum(ious[k] * len(truths[k]) for k in range(3)) / wanted)
    found = scores(dict(type='MeanIoUMetric', average=average), samples)
    assert {name: found[f'semantic/{name}'] for name in expected} == {
        name: pytest.approx(100 * value) for name, value in expected.items()}


def test_a_class_of_one_pixel() -> None:
    sample = DetDataSample(metainfo=dict(img_id=0))
    sample.gt_sem_seg, sample.pred_sem_seg = pixels(row(0, 0, 0, 1)), pixels(row(0, 0, 1, 1))
    found = scores(dict(type='MeanIoUMetric'), [sample])
    assert found['semantic/mIoU'] == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
    assert found['semantic/mAcc'] == pytest.approx(100 * (2 / 3 + 1) / 2)
    sample.pred_sem_seg = pixels(row(0, 0, 0, 1))
    assert scores(dict(type='MeanIoUMetric'), [sample])['semantic/mIoU'] == pytest.approx(100)


# -------------------------------------------------------------------------------- average precision

def squares(rng: np.random.Generator, number: int) -> np.ndarray:
    """(N, 130, 140) boxes of all sizes that COCO tells apart."""
    masks = np.zeros((number, 130, 140), bool)
    for mask in masks:
        side = int(rng.integers(5, 110))
        top, left = rng.integers(0, 130 - side), rng.integers(0, 140 - side)
        mask[top:top + side, left:left + side] = True
    return masks


def instance_samples(rng: np.random.Generator) -> list[DetDataSample]:
    samples = []
    for number in range(IMAGES):
        truth, labels = squares(rng, 8), rng.integers(0, CLASSES, 8)
        moved = np.concatenate([np.roll(truth, rng.integers(0, 6), 1), squares(rng, 2)])
        guess = np.where(rng.random(10) < 0.9, [*labels, 0, 2], 1)
        sample = DetDataSample(metainfo=dict(img_id=number))
        sample.gt_instances = InstanceData(
            labels=torch.as_tensor(labels[:6]), masks=torch.as_tensor(truth[:6]))
        sample.ignored_instances = InstanceData(
            labels=torch.as_tensor(labels[6:]), masks=torch.as_tensor(truth[6:]))
        sample.pred_instances = InstanceData(
            labels=torch.as_tensor(guess), masks=torch.as_tensor(moved),
            scores=torch.as_tensor(rng.random(10)))
        samples.append(sample)
    return samples


def coco(samples: list[DetDataSample], field: str, *, by_box: bool) -> COCO:
    """A data set of the thing instances in ``field``.

    Areas are those of the masks; of boxes where results are boxes, as pycocotools reads them.
    """
    annotations = []
    for sample in samples:
        parts = [(sample.get(field), 0)]
        if field == 'gt_instances':
            parts.append((sample.ignored_instances, 1))
        for data, crowd in parts:
            for index, label in enumerate(data.labels.tolist()):
                if label not in THINGS:
                    continue
                code = coco_mask.encode(np.asfortranarray(data.masks[index].numpy(), np.uint8))
                box = coco_mask.toBbox(code).tolist()
                annotations.append(dict(
                    id=len(annotations) + 1, image_id=sample.img_id + 1, category_id=label + 1,
                    iscrowd=crowd, segmentation=code, bbox=box,
                    area=box[2] * box[3] if by_box else float(coco_mask.area(code)),
                    score=float(data.scores[index]) if 'scores' in data else 1.0))
    made = COCO()
    made.dataset = dict(
        images=[dict(id=s.img_id + 1, height=130, width=140) for s in samples],
        categories=[dict(id=k + 1) for k in THINGS], annotations=annotations)
    made.createIndex()
    return made


@pytest.mark.parametrize('kind', ['segm', 'bbox'])
def test_average_precision(kind: str) -> None:
    samples = instance_samples(np.random.default_rng(3))
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            coco(samples, 'gt_instances', by_box=False),
            coco(samples, 'pred_instances', by_box=kind == 'bbox'), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    head = '' if kind == 'segm' else 'bbox_'
    found = scores(dict(type='MaskAPMetric', iou_types=(kind,)), samples)
    names = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl')
    expected = dict(zip(names, evaluation.stats.tolist(), strict=False))
    for name, value in expected.items():
        assert found[f'instance/{head}{name}'] == pytest.approx(100 * value, abs=1e-6), name
        assert 0 < value < 1
    assert len({round(value, 6) for value in expected.values()}) == len(names)
