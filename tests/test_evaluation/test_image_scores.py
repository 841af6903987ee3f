"""Scores of single pictures, and how many objects every class has: what a report shows."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from pycocotools import mask as mask_tools

from tests.test_evaluation.test_metrics import (
    ALL,
    META,
    H,
    W,
    evaluate,
    instance_sample,
    make_sample,
    squares,
)
from unimask.evaluation.panoptic_quality import image_quality, true_segments
from unimask.registry import METRICS


def scored(name: str, samples: list, **options: object) -> BaseMetric:
    metric = METRICS.build(dict(type=name, **options))
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = META
    for sample in samples:
        evaluator.process([sample])
    evaluator.evaluate(len(samples))
    return metric


@pytest.mark.parametrize('name', ALL)
def test_in_the_order_of_the_data(name: str) -> None:
    """A picture's score does not depend on the others, whatever order a metric sorts them in."""
    samples = [make_sample(index) for index in (5, 1, 3)]
    together = scored(name, samples).image_scores
    alone = [scored(name, [sample]).image_scores[0] for sample in samples]
    assert together == pytest.approx(alone, nan_ok=True)
    assert len(set(map(float, alone))) == 3
    assert METRICS.get(name).image_score


def test_semantic_score_of_a_picture_is_its_mean_iou() -> None:
    sample = make_sample(2)
    expected = evaluate(dict(type='MeanIoUMetric'), [sample])['semantic/mIoU']
    assert scored('MeanIoUMetric', [sample]).image_scores == pytest.approx([expected])


def test_panoptic_quality_by_hand() -> None:
    """Rows: label, matches, false, missed, sum of IoU."""
    first = np.array([[0, 2, 1, 0, 1.5], [3, 0, 0, 1, 0.0]])
    assert image_quality([first, np.zeros((0, 5))]) == pytest.approx([1.5 / 3, np.nan],
                                                                     nan_ok=True)
    assert true_segments([first, first], 4).tolist() == [4, 0, 0, 2]


class TestInstances:
    left, right = squares((0, 0)), squares((0, 20))
    shifted = squares((0, 1))  # IoU with ``left``: 56 / 72

    def score(self, *args: torch.Tensor, **options: object) -> float:
        return scored('MaskAPMetric', [instance_sample(*args, **options)]).image_scores[0]

    def test_matches(self) -> None:
        both = torch.cat([self.left, self.right])
        assert self.score(both, both) == pytest.approx(100)
        assert self.score(self.left, self.shifted) == pytest.approx(100 * 56 / 72)
        assert self.score(both, self.left) == pytest.approx(100 / 1.5)  # one is missed
        assert self.score(self.left, both) == pytest.approx(100 / 1.5)  # one is false
        assert self.score(self.left, self.left, labels=[1]) == 0  # another class

    def test_the_surest_is_matched_first(self) -> None:
        assert self.score(self.left, torch.cat([self.shifted, self.left])) == pytest.approx(
            100 * 56 / 72 / 1.5)

    def test_crowd_and_unsure(self) -> None:
        guess = torch.cat([self.left, self.right])
        assert self.score(self.left, guess, crowd=self.right) == pytest.approx(100)
        unsure = instance_sample(self.left, guess)
        unsure.pred_instances.scores = torch.tensor([0.9, 0.1])
        assert scored('MaskAPMetric', [unsure]).image_scores == pytest.approx([100])
        assert np.isnan(self.score(self.left[:0], self.left[:0]))


def test_truth_from_a_file(tmp_path: Path) -> None:
    """In every form of masks that COCO has: the same as from the samples."""
    left, right = squares((0, 0)), squares((0, 20))
    column = [0] + [8, H - 8] * 8  # zeros and ones column by column, from the left
    forms = [[[0, 0, 8, 0, 8, 8, 0, 8]],
             dict(size=[H, W], counts=[*column[:-1], H * W - sum(column[:-1])])]
    forms.append({**mask_tools.frPyObjects(forms[1], H, W)})
    forms[2]['counts'] = forms[2]['counts'].decode()
    common = dict(area=64, bbox=[0, 0, 8, 8], category_id=30, iscrowd=0)
    annotations = [dict(common, id=number, image_id=number, segmentation=form)
                   for number, form in enumerate(forms, 1)]
    annotations += [dict(common, id=9, image_id=2, segmentation=[[20, 0, 28, 0, 28, 8, 20, 8]]),
                    dict(common, id=10, image_id=3, iscrowd=1,
                         segmentation=[[20, 0, 28, 0, 28, 8, 20, 8]]),
                    dict(common, id=11, image_id=1, category_id=25, segmentation=forms[0])]
    path = tmp_path / 'instances.json'
    path.write_text(json.dumps(dict(
        images=[dict(id=number, height=H, width=W) for number in (1, 2, 3)],
        categories=[dict(id=30, name='cat'), dict(id=20, name='dog'), dict(id=25, name='emu')],
        annotations=annotations)))
    guess = torch.cat([left, right])
    samples = [instance_sample(left, guess, index=index) for index in (3, 1, 2)]
    metric = scored('MaskAPMetric', samples, ann_file=str(path))
    assert metric.image_scores == pytest.approx([100, 100 / 1.5, 100])
    assert metric.class_tables[0].counts == [4, 0]


def test_counts_of_classes() -> None:
    """By hand from the truth of the pictures."""
    samples = [make_sample(index) for index in range(4)]
    segments = np.zeros(4, dtype=int)
    pictures = np.zeros(4, dtype=int)
    for sample in samples:
        info = sample.gt_panoptic_seg.segments_info
        for each in info:
            segments[each['category']] += not each['iscrowd']
        pictures[list({each['category'] for each in info})] += 1
    tables = {name: scored(name, samples).class_tables[0] for name in ALL}
    assert tables['PQMetric'].counts.tolist() == segments.tolist()
    assert tables['MaskAPMetric'].counts == segments[:2].tolist()
    assert tables['MeanIoUMetric'].counts.tolist() == pictures.tolist()
    assert [tables[name].counted for name in ALL] == ['segments', 'objects', 'pictures']
