"""The scores that the official tools give for the same files, to the last printed digit."""

import contextlib
import io
import json

import pytest
from mmengine.evaluator import Evaluator
from official import load
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from unimask.evaluation import MaskAPMetric, MeanIoUMetric, PQMetric
from unimask.evaluation.panoptic_quality import panoptic_quality

CASES = {
    'panopticapi_sample': ('eval_check/panopticapi_sample/gt', ''),
    'coco_mini_val': ('coco_mini/annotations', '_val'),
}
AP_NAMES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl')


@pytest.fixture(scope='module', params=CASES)
def case(request, shared_data):
    """Samples, metainfo, expected scores and the annotation file of one of the two sets."""
    folder, name = CASES[request.param]
    check = shared_data / 'eval_check' / request.param
    samples, meta = load(shared_data / folder, name, check / 'pred')
    expected = json.loads((check / 'expected.json').read_text())
    return samples, meta, expected, shared_data / folder / f'instances{name}.json'


def scores(metric, samples, meta):
    """What the evaluator makes of the samples, one batch each."""
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = meta
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


def same_digits(value, expected, digits):
    """Equal when printed; -1 of the official tools is our NaN."""
    if expected == -1:
        return value != value
    return f'{value:.{digits}f}' == f'{expected:.{digits}f}'


def test_panoptic_quality(case):
    samples, meta, expected, _ = case
    result = scores(PQMetric(), samples, meta)
    for suffix, group in (('', 'All'), ('_th', 'Things'), ('_st', 'Stuff')):
        for name in ('PQ', 'SQ', 'RQ'):
            official = expected['panoptic'][group][name.lower()]
            assert same_digits(result[f'panoptic/{name}{suffix}'], official, 6)


def test_panoptic_quality_of_each_class(case):
    samples, meta, expected, _ = case
    metric = PQMetric()
    metric.dataset_meta = meta
    for sample in samples:
        metric.process(None, [sample.to_dict()])
    things = [name in meta['thing_classes'] for name in meta['classes']]
    quality = panoptic_quality(metric.results, things)
    seen = {
        name: row for name, row in zip(meta['classes'], quality['per_class'], strict=True)
        if row[0] == row[0]}
    assert len(seen) == expected['panoptic']['All']['n']
    official = expected['panoptic']['per_class']
    for name, row in seen.items():
        for value, key in zip(100 * row, ('pq', 'sq', 'rq'), strict=True):
            assert same_digits(value, official[name][key], 4), (name, key)


@pytest.mark.parametrize(('source', 'backend'), [
    ('ann_file', 'pycocotools'), ('ann_file', 'hotcoco'), ('gt_instances', 'pycocotools'),
    ('gt_panoptic_seg', 'auto')])
def test_average_precision(case, source, backend):
    if backend == 'hotcoco':
        pytest.importorskip('hotcoco')
    samples, meta, expected, ann_file = case
    if source == 'gt_panoptic_seg':
        samples = [sample.clone() for sample in samples]
        for sample in samples:
            del sample.gt_instances, sample.ignored_instances
    metric = MaskAPMetric(
        ann_file=str(ann_file) if source == 'ann_file' else None, iou_types=('segm', 'bbox'),
        size_by='box', backend=backend)
    result = scores(metric, samples, meta)
    for iou_type, head in (('segm', ''), ('bbox', 'bbox_')):
        for name in AP_NAMES:
            official = expected['detection'][iou_type][name]
            ours = result[f'instance/{head}{name}'] / 100
            assert same_digits(ours, official, 8), (iou_type, name)


def test_sizes_are_mask_areas_by_default(case):
    """As detectron2 does, which takes the boxes out of the results first."""
    samples, meta, expected, ann_file = case
    result = scores(MaskAPMetric(ann_file=str(ann_file)), samples, meta)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(ann_file))
        found = truth.loadRes(_results_without_boxes(case))
        evaluation = COCOeval(truth, found, 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    for name, official in zip(AP_NAMES, evaluation.stats, strict=False):
        assert same_digits(result[f'instance/{name}'] / 100, official, 12), name
    assert not same_digits(result['instance/APs'] / 100, expected['detection']['segm']['APs'], 4)


def _results_without_boxes(case):
    samples, meta, _, ann_file = case
    id_of = {c['name']: c['id'] for c in json.loads(ann_file.read_text())['categories']}
    return [
        dict(image_id=sample.img_id, category_id=id_of[meta['classes'][label]], score=score,
             segmentation=coco_mask.encode(mask.T.contiguous().T.numpy().astype('u1', order='F')))
        for sample in samples
        for label, score, mask in zip(
            sample.pred_instances.labels.tolist(), sample.pred_instances.scores.tolist(),
            sample.pred_instances.masks, strict=True)]


@pytest.mark.parametrize('source', ['gt_sem_seg', 'gt_panoptic_seg'])
def test_mean_iou(case, source):
    samples, meta, expected, _ = case
    if source == 'gt_panoptic_seg':
        samples = [sample.clone() for sample in samples]
        for sample in samples:
            del sample.gt_sem_seg
    expected = expected['semantic']
    for average in ('gt_present', 'union_present'):
        result = scores(MeanIoUMetric(average=average), samples, meta)
        assert same_digits(result['semantic/mIoU'], expected[f'mIoU_{average}'], 6)
        for name in ('mAcc', 'aAcc', 'fwIoU'):
            assert same_digits(result[f'semantic/{name}'], expected[name], 6)
