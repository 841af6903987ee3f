"""The metrics on data samples: what they accept, refuse, and how shards add up."""

import csv
import io
import json
import pickle

import numpy as np
import pytest
import torch
from mmdet.structures import INSTANCE_OFFSET, DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData

from unimask.datasets.coco_writing import instance_entry, write_json
from unimask.errors import UserError, image_name
from unimask.evaluation import class_tables_csv
from unimask.registry import DATASETS, METRICS

META = dict(classes=('cat', 'dog', 'grass', 'sky'), thing_classes=('cat', 'dog'))
K, H, W = 4, 24, 32
ALL = ('PQMetric', 'MaskAPMetric', 'MeanIoUMetric')
REGISTERED = ALL + ('CityscapesInstanceMetric', 'CityscapesSemanticMetric')


def pixel_data(ids, **meta):
    pixels = PixelData(sem_seg=torch.as_tensor(ids)[None])
    pixels.set_metainfo(meta)
    return pixels


def blocks(rng):
    """(H, W) map of up to 12 segments, 0 is void."""
    return np.kron(rng.integers(0, 7, (3, 4)), np.ones((8, 8), dtype=np.int64))


def make_sample(index, name=None):
    """A random image with all ground truths and predictions."""
    rng = np.random.default_rng(index)
    truth = blocks(rng)
    guess = np.roll(truth, rng.integers(-2, 3, 2), axis=(0, 1))
    labels = {i: int(rng.integers(K)) for i in range(1, 7)}
    info = [dict(id=int(i), category=labels[int(i)], iscrowd=bool(rng.random() < 0.1))
            for i in np.unique(truth) if i]
    found = {int(i): labels[int(i)] if rng.random() < 0.8 else int(rng.integers(K))
             for i in np.unique(guess) if i}
    encoded, sem = np.full((H, W), K), np.zeros((H, W), dtype=np.int64)
    for i, label in found.items():
        encoded[guess == i] = label + i * INSTANCE_OFFSET
        sem[guess == i] = label
    things = [i for i, label in found.items() if label < 2]
    sample = DetDataSample(metainfo=dict(
        img_id=index, img_path=name or f'{index}.jpg', ori_shape=(H, W)))
    sample.gt_panoptic_seg = pixel_data(truth.astype(np.int32), segments_info=info)
    sample.pred_panoptic_seg = pixel_data(encoded)
    sample.pred_sem_seg = pixel_data(sem)
    sample.pred_instances = InstanceData(
        labels=torch.tensor([found[i] for i in things], dtype=torch.int64),
        scores=torch.as_tensor(rng.integers(1, 5, len(things)) / 5),  # many ties
        masks=torch.as_tensor(np.array([guess == i for i in things]).reshape(-1, H, W)))
    return sample


def evaluate(metrics, samples, meta=META):
    metrics = metrics if isinstance(metrics, list) else [metrics]
    evaluator = Evaluator([METRICS.build(metric) for metric in metrics])
    evaluator.dataset_meta = meta
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


def process(metric, sample, meta=META):
    metric.dataset_meta = meta
    metric.process(None, [sample.to_dict()])


def test_one_pass_for_all_tasks():
    result = evaluate([dict(type=name) for name in ALL], [make_sample(i) for i in range(8)])
    names = ['PQ', 'SQ', 'RQ']
    assert set(result) == {
        *(f'panoptic/{name}{suffix}' for name in names for suffix in ('', '_th', '_st')),
        *(f'instance/{name}' for name in ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl')),
        *(f'semantic/{name}' for name in ('mIoU', 'mAcc', 'aAcc', 'fwIoU'))}
    assert 10 < result['panoptic/PQ'] < 100
    assert 10 < result['semantic/mIoU'] < 100
    assert 10 < result['instance/AP50'] <= 100


@pytest.mark.parametrize('name', ALL)
def test_shards_give_the_same_numbers(name):
    """Whatever the dealing and the order, after the trip between processes."""
    samples = [make_sample(i) for i in range(12)]
    whole = evaluate(dict(type=name, prefix='x'), samples)
    for order in ([range(0, 12, 2), range(1, 12, 2)], [range(7, 12), [3, 1], [0, 2, 4, 5, 6]]):
        gathered = []
        for shard in order:
            metric = METRICS.build(dict(type=name))
            for i in shard:
                process(metric, samples[i])
            assert len(metric.results) == len(shard)
            gathered += pickle.loads(pickle.dumps(metric.results))
        metric = METRICS.build(dict(type=name))
        metric.dataset_meta = META
        assert {f'x/{key}': value for key, value in metric.compute_metrics(gathered).items()} \
            == pytest.approx(whole, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize('name', ALL)
def test_only_little_is_kept(name):
    metric = METRICS.build(dict(type=name))
    process(metric, make_sample(0))
    # The maps alone are 6 kB each.
    assert len(pickle.dumps(metric.results)) < 3000


@pytest.mark.parametrize(('name', 'key', 'task'), [
    ('PQMetric', 'pred_panoptic_seg', 'panoptic'), ('MaskAPMetric', 'pred_instances', 'instance'),
    ('MeanIoUMetric', 'pred_sem_seg', 'semantic'),
    ('CityscapesInstanceMetric', 'pred_instances', 'instance')])
def test_task_that_is_switched_off(name, key, task):
    sample = make_sample(0)
    delattr(sample, key)
    with pytest.raises(UserError, match=rf"0\.jpg: {name}.*'{task}' to model\.test_cfg\.tasks"):
        process(METRICS.build(dict(type=name)), sample)


@pytest.mark.parametrize('name', ALL)
def test_ground_truth_that_was_not_loaded(name):
    sample = make_sample(0)
    del sample.gt_panoptic_seg
    with pytest.raises(UserError, match=rf'0\.jpg: {name} needs .*gt_panoptic_seg.*Resize'):
        process(METRICS.build(dict(type=name)), sample)


@pytest.mark.parametrize('name', ALL)
def test_prediction_of_another_size(name):
    sample = make_sample(0)
    sample.gt_panoptic_seg = pixel_data(
        np.ones((H, W + 1), dtype=np.int32), segments_info=[dict(id=1, category=0)])
    with pytest.raises(UserError, match=r'Image 0\.jpg: .*\(24, 32\).*\(24, 33\)'):
        process(METRICS.build(dict(type=name)), sample)


@pytest.mark.parametrize('name', REGISTERED)
def test_classes_have_to_be_known(name):
    with pytest.raises(UserError, match='dataset_meta'):
        METRICS.build(dict(type=name)).process(None, [make_sample(0).to_dict()])


@pytest.mark.parametrize('name', ALL)
def test_label_outside_the_classes(name):
    sample = make_sample(0)
    sample.gt_panoptic_seg.segments_info[0]['category'] = K
    with pytest.raises(UserError, match=rf'0\.jpg: .*label {K}.*{K} classes'):
        process(METRICS.build(dict(type=name)), sample)


@pytest.mark.parametrize('name', ALL)
def test_images_without_prediction_or_truth(name):
    """Two images, one without any true segment, one without any predicted one."""
    no_truth, no_guess = make_sample(0), make_sample(1)
    no_truth.gt_panoptic_seg = pixel_data(np.zeros((H, W), dtype=np.int32), segments_info=[])
    no_guess.pred_panoptic_seg = pixel_data(np.full((H, W), K), segments_info=[])
    no_guess.pred_sem_seg = pixel_data(np.full((H, W), 255))
    no_guess.pred_instances = no_guess.pred_instances[:0]
    result = evaluate(dict(type=name, prefix='x'), [no_truth, no_guess])
    first = {'PQMetric': 'PQ', 'MaskAPMetric': 'AP', 'MeanIoUMetric': 'mIoU'}[name]
    assert result[f'x/{first}'] == 0
    result = evaluate(dict(type=name, prefix='x'), [no_truth])
    assert np.isnan(result[f'x/{first}'])


def test_nothing_was_processed():
    for name in REGISTERED:
        metric = METRICS.build(dict(type=name))
        metric.dataset_meta = META
        if name != 'CityscapesInstanceMetric':
            assert all(np.isnan(v) for v in metric.compute_metrics([]).values())


def test_panoptic_prediction_is_its_truth():
    """A perfect score, with the truth in mmdet's encoding."""
    sample = make_sample(3)
    sample.gt_panoptic_seg = sample.pred_panoptic_seg
    result = evaluate(dict(type='PQMetric'), [sample])
    assert result['panoptic/PQ'] == result['panoptic/RQ'] == 100


def test_predicted_segments_info_is_checked():
    sample = make_sample(3)
    sample.pred_panoptic_seg.set_metainfo(dict(segments_info=[]))
    with pytest.raises(UserError, match='3.jpg: the map of the prediction has the id .*listed'):
        process(METRICS.build(dict(type='PQMetric')), sample)


def test_only_things():
    """Without stuff the means are those of the things and stuff has no score."""
    meta = dict(classes=META['classes'])
    result = evaluate(dict(type='PQMetric'), [make_sample(i) for i in range(3)], meta)
    assert result['panoptic/PQ'] == result['panoptic/PQ_th']
    assert np.isnan(result['panoptic/PQ_st'])


def test_semantic_ignore_index():
    """That of the sample goes before the metric's; panoptic void is ignored anyway."""
    sample = make_sample(0)
    sample.pred_sem_seg = pixel_data(np.zeros((H, W), dtype=np.int64))
    truth = np.zeros((H, W), dtype=np.int64)
    truth[:5] = 2
    for keys, expected in ((dict(), 0), (dict(ignore_index=2), 100)):
        sample.gt_sem_seg = pixel_data(truth, **keys)
        accuracy = evaluate(dict(type='MeanIoUMetric', per_class=False), [sample])['semantic/aAcc']
        assert (accuracy == 100) == (expected == 100)
        metric = dict(type='MeanIoUMetric', ignore_index=keys.get('ignore_index', 3))
        assert (evaluate(metric, [sample])['semantic/aAcc'] == 100) == (expected == 100)


def test_unknown_average():
    with pytest.raises(UserError, match="gt_present.*'mean'"):
        METRICS.build(dict(type='MeanIoUMetric', average='mean'))


def test_tables_are_logged_once_per_metric(caplog):
    from mmengine.logging import MMLogger
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        evaluate(dict(type='PQMetric'), [make_sample(0)])
        assert 'grass' in caplog.text and 'things' in caplog.text
        caplog.clear()
        evaluate(dict(type='PQMetric', per_class=False), [make_sample(0)])
        assert 'grass' not in caplog.text and 'things' in caplog.text
    finally:
        logger.removeHandler(caplog.handler)


# --- instances --------------------------------------------------------------------------------

def squares(*corners, side=8):
    """(N, H, W) bool squares with these (top, left) corners."""
    masks = torch.zeros(len(corners), H, W, dtype=torch.bool)
    for mask, (top, left) in zip(masks, corners, strict=True):
        mask[top:top + side, left:left + side] = True
    return masks


def instance_sample(truth, guess, *, crowd=None, labels=None, index=1):
    """Cats; ``guess`` with falling scores."""
    sample = DetDataSample(metainfo=dict(img_id=index, img_path=f'{index}.jpg'))
    sample.gt_instances = InstanceData(labels=torch.zeros(len(truth)).long(), masks=truth)
    sample.ignored_instances = InstanceData() if crowd is None else InstanceData(
        labels=torch.zeros(len(crowd)).long(), masks=crowd)
    sample.pred_instances = InstanceData(
        labels=torch.zeros(len(guess)).long() if labels is None else torch.tensor(labels),
        scores=1 - torch.arange(len(guess)) / 10, masks=guess)
    return sample


def ap(sample, **options):
    return evaluate(dict(type='MaskAPMetric', **options), [sample])['instance/AP']


BACKENDS = ['pycocotools', 'hotcoco']


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == 'hotcoco':
        pytest.importorskip('hotcoco')
    return request.param


def test_average_precision_by_hand(backend):
    found, spare = squares((0, 0)), squares((0, 20))
    assert ap(instance_sample(found, found), backend=backend) == pytest.approx(100)
    # A better scored false positive: precision 1/2 at every recall.
    assert ap(instance_sample(found, torch.cat([spare, found])), backend=backend) \
        == pytest.approx(50)
    # One of two found: recall stops at 1/2, which 51 of 101 recall thresholds do not exceed.
    assert ap(instance_sample(torch.cat([found, spare]), found), backend=backend) \
        == pytest.approx(100 * 51 / 101)


def test_crowd_regions_are_ignored(backend):
    found, spare = squares((0, 0)), squares((0, 20))
    crowded = instance_sample(found, torch.cat([spare, spare, found]), crowd=spare)
    assert ap(crowded, backend=backend) == pytest.approx(100)
    # Nothing but a crowd: there is nothing to score.
    assert np.isnan(ap(instance_sample(found[:0], spare, crowd=spare), backend=backend))


def test_stuff_is_left_out():
    found = squares((0, 0), (0, 20))
    sample = instance_sample(found[1:], found, labels=[2, 0])
    assert ap(sample) == pytest.approx(100)


def test_masks_in_every_form():
    corners = [(0, 0), (8, 20)]
    masks = squares(*corners)
    polygons = [[np.array([x, y, x + 8, y, x + 8, y + 8, x, y + 8], dtype=float)]
                for y, x in corners]
    for truth in (masks, masks.numpy(), BitmapMasks(masks.numpy().astype(np.uint8), H, W),
                  PolygonMasks(polygons, H, W)):
        sample = instance_sample(masks, masks)
        sample.gt_instances = InstanceData(labels=torch.zeros(2).long(), masks=truth)
        assert ap(sample) == pytest.approx(100)


def test_backends_agree():
    """On many ties, crowds, empty images and empty masks."""
    pytest.importorskip('hotcoco')
    samples = [make_sample(i) for i in range(40)]
    samples[3].pred_instances.masks[:] = False
    samples[5].pred_instances = samples[5].pred_instances[:0]
    ours, reference = (
        evaluate(dict(type='MaskAPMetric', backend=name, iou_types=('segm', 'bbox')), samples)
        for name in ('hotcoco', 'pycocotools'))
    assert ours == pytest.approx(reference, rel=1e-13, nan_ok=True)
    assert 5 < ours['instance/AP'] < 95


def test_automatic_backend(monkeypatch):
    import unimask.evaluation.coco_ap as coco_ap
    monkeypatch.setattr(coco_ap.importlib.util, 'find_spec', lambda name: None)
    assert METRICS.build(dict(type='MaskAPMetric')).backend == 'pycocotools'
    with pytest.raises(UserError, match='pip install hotcoco'):
        METRICS.build(dict(type='MaskAPMetric', backend='hotcoco'))
    monkeypatch.setattr(coco_ap.importlib.util, 'find_spec', lambda name: object())
    assert METRICS.build(dict(type='MaskAPMetric')).backend == 'hotcoco'
    assert METRICS.build(dict(type='MaskAPMetric', backend='pycocotools')).backend == 'pycocotools'


@pytest.mark.parametrize(('options', 'message'), [
    (dict(backend='fast'), "'fast'"), (dict(iou_types=('mask',)), 'iou_types'),
    (dict(iou_types=()), 'iou_types'), (dict(size_by='area'), 'size_by')])
def test_wrong_options(options, message):
    with pytest.raises(UserError, match=message):
        METRICS.build(dict(type='MaskAPMetric', **options))


@pytest.fixture
def ann_file(tmp_path):
    """Two categories out of order and one that the dataset does not have."""
    path = tmp_path / 'instances.json'
    square = [[0, 0, 8, 0, 8, 8, 0, 8]]
    common = dict(image_id=7, area=64, bbox=[0, 0, 8, 8], segmentation=square, iscrowd=0)
    path.write_text(json.dumps(dict(
        images=[dict(id=7, height=H, width=W), dict(id=8, height=H, width=W)],
        categories=[dict(id=30, name='cat'), dict(id=20, name='dog'), dict(id=25, name='emu')],
        annotations=[dict(common, id=1, category_id=30), dict(common, id=2, category_id=25),
                     dict(common, id=3, category_id=30, image_id=8)])))
    return path


def test_annotation_file(ann_file, backend):
    """Categories by name, others left out, images that were not predicted left out."""
    sample = instance_sample(squares(), squares((0, 0)), index=7)
    del sample.gt_instances
    metric = METRICS.build(dict(type='MaskAPMetric', ann_file=str(ann_file), backend=backend))
    process(metric, sample)
    assert metric.evaluate(1)['instance/AP'] == pytest.approx(100)
    table, = metric.class_tables
    rows = table.scores
    assert list(table.classes) == ['cat', 'dog']
    assert rows[0, 0] == pytest.approx(100) and np.isnan(rows[1, 0])


def test_annotation_file_below_a_folder(ann_file):
    metric = METRICS.build(
        dict(type='MaskAPMetric', data_root=str(ann_file.parent), ann_file=ann_file.name))
    assert metric.ann_file == str(ann_file)
    with pytest.raises(UserError, match=r'elsewhere/ann\.json'):
        METRICS.build(dict(type='MaskAPMetric', data_root='elsewhere', ann_file='ann.json'))


def test_annotation_file_errors(ann_file):
    sample = instance_sample(squares(), squares((0, 0)), index=7)
    options = dict(type='MaskAPMetric', ann_file=str(ann_file))
    with pytest.raises(UserError, match=r'ann_file.*none\.json.*val_evaluator\.ann_file'):
        METRICS.build(dict(options, ann_file='none.json'))
    with pytest.raises(UserError, match=r"no category named \['cow'\].*'cat'"):
        evaluate(dict(options), [sample], dict(classes=('cat', 'cow')))
    with pytest.raises(UserError, match=r'Image 9\.jpg: its id 9 is not in'):
        evaluate(dict(options), [instance_sample(squares(), squares((0, 0)), index=9)])
    with pytest.raises(UserError, match='id 7 more than once'):
        evaluate(dict(options), [sample, sample])
    sample.pred_instances = InstanceData(
        labels=torch.zeros(1).long(), scores=torch.ones(1),
        masks=torch.ones(1, H, W + 1, dtype=torch.bool))
    with pytest.raises(UserError, match=r'Image 7\.jpg: .*\(24, 33\).*\(24, 32\)'):
        evaluate(dict(options), [sample])


def test_masks_of_wrong_shape():
    sample = instance_sample(squares(), squares((0, 0)))
    sample.pred_instances = InstanceData(
        labels=torch.zeros(1).long(), scores=torch.ones(1), masks=torch.ones(1, H * W))
    with pytest.raises(UserError, match=r'1\.jpg: masks must have the shape \(N, h, w\)'):
        process(METRICS.build(dict(type='MaskAPMetric')), sample)
    sample.pred_instances = InstanceData(labels=torch.zeros(1).long(), scores=torch.ones(1))
    with pytest.raises(UserError, match='no masks'):
        process(METRICS.build(dict(type='MaskAPMetric')), sample)


@pytest.mark.parametrize('known, name', [
    (dict(img_path='a/0.jpg', img_id=3), 'a/0.jpg'), (dict(img_id=0), 'with id 0'),
    ({}, r'with id (unknown)')])
def test_images_have_one_name_in_all_messages(known: dict, name: str) -> None:
    assert image_name(known) == image_name(DetDataSample(metainfo=known)) == name


def test_tables_of_all_metrics_in_one_file():
    """A line per class; what a class has no score of stays empty; without logging them, too."""
    metrics = [METRICS.build(dict(type=name, per_class=False)) for name in ALL]
    evaluator = Evaluator(metrics)
    evaluator.dataset_meta = META
    for index in range(4):
        evaluator.process([make_sample(index)])
    result = evaluator.evaluate(4)
    text = class_tables_csv({metric.prefix: metric.class_tables for metric in metrics})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ['class', 'panoptic/PQ', 'panoptic/SQ', 'panoptic/RQ', 'instance/AP',
                             'instance/AP50', 'semantic/IoU', 'semantic/Acc']
    assert [row['class'] for row in rows] == list(META['classes'])
    assert [row['instance/AP'] == '' for row in rows] == [False, False, True, True]
    for column, score in (('panoptic/PQ', 'panoptic/PQ'), ('semantic/IoU', 'semantic/mIoU')):
        values = [float(row[column]) for row in rows]
        assert np.mean(values) == pytest.approx(result[score], abs=1e-3)


@pytest.mark.parametrize('name', ALL)
def test_tables_are_logged_on_request(name, monkeypatch):
    logged = []
    for module in ('pq_metric', 'mask_ap_metric', 'iou_metric'):
        monkeypatch.setattr(f'unimask.evaluation.{module}.print_log',
                            lambda text, _: logged.append(text))
    evaluate(dict(type=name, per_class=False), [make_sample(0)])
    assert logged and not any('dog' in text for text in logged)
    evaluate(dict(type=name, per_class=True), [make_sample(0)])
    assert any('dog' in text for text in logged)


def test_ade20k_has_100_classes_of_instances(tmp_path):
    """From the panoptic maps and from the instance file, whose categories are numbered apart."""
    meta, things = (DATASETS.get(f'ADE20K{kind}Dataset').METAINFO
                    for kind in ('Panoptic', 'Instance'))
    samples, images, entries = [], [], []
    for index in range(6):
        sample = make_sample(index)
        rng = np.random.default_rng(index)
        labels = rng.integers(0, 150, 7)
        for segment in sample.gt_panoptic_seg.segments_info:
            segment.update(category=int(labels[segment['id']]), iscrowd=False)
        ids = sample.gt_panoptic_seg.sem_seg[0].numpy()
        name = f'ADE_val_{index:08}'
        images.append(dict(id=name, height=H, width=W, file_name=f'{name}.jpg'))
        for segment in sample.gt_panoptic_seg.segments_info:
            label = meta['classes'][segment['category']]
            if label in things['classes']:
                entries.append(instance_entry(
                    ids == segment['id'], image_id=name,
                    category_id=things['classes'].index(label)) | dict(id=len(entries) + 1))
        masks = np.array([np.roll(ids == i, 1, axis=1) for i in range(1, 7)])
        sample.pred_instances = InstanceData(
            labels=torch.as_tensor(labels[1:]), scores=torch.rand(6), masks=torch.as_tensor(masks))
        sample.set_metainfo(dict(img_id=name))
        samples.append(sample)
    path = tmp_path / 'ade20k_instance_val.json'
    write_json(path, images=images, annotations=entries, categories=[
        dict(id=number, name=name) for number, name in enumerate(things['classes'])])
    whole, from_file = (dict(type='MaskAPMetric', ann_file=file) for file in (None, str(path)))
    result = evaluate(whole, samples, meta)
    assert result == pytest.approx(evaluate(from_file, samples, meta), nan_ok=True)
    assert 5 < result['instance/AP'] < 95 and len(entries) > 10
    metric = METRICS.build(whole)
    for sample in samples:
        process(metric, sample, meta)
    metric.evaluate(6)
    assert metric.class_tables[0].classes == [
        name for name in meta['classes'] if name in set(things['classes'])]
    assert len(metric.class_tables[0].classes) == 100


def test_predictions_in_a_file(tmp_path, monkeypatch):
    path = tmp_path / 'below' / 'predictions.pkl'
    dump = dict(type='DumpPredictions', out_file_path=str(path))
    evaluate([dump, dict(type='PQMetric')], [make_sample(0), make_sample(1)])
    before = path.read_bytes()
    assert [sample['img_id'] for sample in pickle.loads(before)] == [0, 1]

    def fail(results, file):
        file.write(b'half')
        raise OSError('no space')
    monkeypatch.setattr('unimask.evaluation.dumping.pickle.dump', fail)
    with pytest.raises(OSError, match='no space'):
        evaluate(dump, [make_sample(2)])
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
