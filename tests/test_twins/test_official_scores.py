"""The official tools' scores from recorded pixel counts, laid out in a row of pixels."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from unimask.registry import METRICS

SCORES = Path(__file__).resolve().parents[1] / 'recorded' / 'scores'


def row_of(values: list[int], counts: list[int]) -> Tensor:
    """(1, 1, pixels): every value as often as it was counted."""
    return torch.repeat_interleave(
        torch.tensor(values, dtype=torch.int32), torch.tensor(counts))[None, None]


def pixel_data(values: Tensor, segments: list[dict] | None = None) -> PixelData:
    data = PixelData(sem_seg=values)
    if segments is not None:
        data.set_metainfo(dict(segments_info=segments))
    return data


def panoptic_sample(index: int, image: dict) -> DetDataSample:
    """The segments, and the class maps that follow from them."""
    truth, found, counts = zip(*image['pixels'], strict=True)
    sample = DetDataSample(metainfo=dict(img_id=index, img_path=f'{index}.png'))
    sample.gt_panoptic_seg = pixel_data(row_of(truth, counts), [
        dict(id=number, category=label, iscrowd=crowd) for number, label, crowd in image['truth']])
    sample.pred_panoptic_seg = pixel_data(row_of(found, counts), [
        dict(id=number, category=label) for number, label in image['found']])
    classes = {number: label for number, label, _ in image['truth']}
    sample.gt_sem_seg = pixel_data(row_of([classes.get(i, 255) for i in truth], counts))
    classes = dict(image['found'])
    sample.pred_sem_seg = pixel_data(row_of([classes.get(i, 0) for i in found], counts))
    return sample


def instance_sample(index: int, image: dict) -> DetDataSample:
    """The instances as masks of a row."""
    truth, crowd, (labels, scores) = image['labels'], image['crowd'], image['detections']
    columns = torch.zeros(len(truth) + len(crowd) + len(labels), len(image['members']),
                          dtype=torch.bool)
    for column, (inside, _) in enumerate(image['members']):
        columns[inside, column] = True
    counts = torch.tensor([count for _, count in image['members']])
    masks = columns.repeat_interleave(counts, dim=1)[:, None]
    parts = masks.split([len(truth), len(crowd), len(labels)])
    sample = DetDataSample(metainfo=dict(img_id=index, img_path=f'{index}.png'))
    sample.gt_instances, sample.ignored_instances, sample.pred_instances = (
        InstanceData(labels=torch.tensor(own, dtype=torch.int64), masks=part)
        for own, part in zip((truth, crowd, labels), parts, strict=True))
    sample.pred_instances.scores = torch.tensor(scores, dtype=torch.float64)
    return sample


@pytest.fixture(scope='module', params=sorted(SCORES.glob('*.gz')), ids=lambda path: path.stem)
def recorded(request: pytest.FixtureRequest) -> dict:
    with gzip.open(request.param) as file:
        return json.load(file)


def scores(metrics: list[dict], samples: Iterable, metainfo: dict) -> dict[str, float]:
    evaluator = Evaluator([METRICS.build(metric) for metric in metrics])
    evaluator.dataset_meta = metainfo
    count = 0
    for count, sample in enumerate(samples, 1):  # noqa: B007
        evaluator.process([sample])
    return evaluator.evaluate(count)


def test_panoptic_quality(recorded: dict) -> None:
    meta, official = recorded['metainfo'], recorded['official']['panoptic']
    samples = (panoptic_sample(index, image) for index, image in enumerate(recorded['images']))
    found = scores([dict(type='PQMetric')], samples, meta)
    for suffix, group in (('', 'All'), ('_th', 'Things'), ('_st', 'Stuff')):
        for name in ('PQ', 'SQ', 'RQ'):
            assert found[f'panoptic/{name}{suffix}'] == pytest.approx(
                official[group][name.lower()], abs=1e-6)


def small_set() -> dict:
    """Two images, which cost little time; slow twins are beside this."""
    with gzip.open(SCORES / 'panopticapi_sample.json.gz') as file:
        return json.load(file)


def test_mean_iou() -> None:
    recorded, averages = small_set(), ('gt_present', 'union_present')
    official = recorded['official']['semantic']
    samples = (panoptic_sample(index, image) for index, image in enumerate(recorded['images']))
    found = scores([dict(type='MeanIoUMetric', average=average, prefix=average)
                    for average in averages], samples, recorded['metainfo'])
    for average in averages:
        expected = official | {'mIoU': official[f'mIoU_{average}']}
        for name in ('mIoU', 'mAcc', 'aAcc', 'fwIoU'):
            assert found[f'{average}/{name}'] == pytest.approx(expected[name], abs=1e-6)


def test_average_precision() -> None:
    recorded = small_set()
    samples = (instance_sample(index, image) for index, image in enumerate(recorded['images']))
    found = scores([dict(type='MaskAPMetric')], samples, recorded['metainfo'])
    for name, expected in recorded['official']['detection'].items():
        assert found[f'instance/{name}'] / 100 == pytest.approx(expected, abs=1e-7)
