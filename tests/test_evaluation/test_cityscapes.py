"""Cityscapes AP and mIoU against cityscapesscripts on files."""

import types

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData
from PIL import Image

from unimask.errors import UserError
from unimask.evaluation import CityscapesInstanceMetric, CityscapesSemanticMetric

CLASSES = ('person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle')
LABEL_IDS = (24, 25, 26, 27, 28, 31, 32, 33)
NAME = 'ulm_00000{}_000019_{}'


def make_image(root, number):
    """A ground-truth file with instances, a group, void and small objects, and predictions."""
    rng = np.random.default_rng(number)
    truth = np.full((60, 90), 7)                    # road
    truth[:5] = 0                                   # unlabeled
    truth[5:15, 60:] = 26                           # car group
    for instance in range(8):
        y, x = rng.integers(5, 40), rng.integers(0, 70)
        label = LABEL_IDS[rng.integers(0, 3)]
        truth[y:y + rng.integers(6, 20), x:x + rng.integers(6, 20)] = 1000 * label + instance
    for kind, values in (('leftImg8bit', None), ('gtFine', truth)):
        folder = root / kind / 'val' / 'ulm'
        folder.mkdir(parents=True, exist_ok=True)
        if values is not None:
            Image.fromarray(values.astype(np.uint16)).save(
                folder / (NAME.format(number, 'gtFine') + '_instanceIds.png'))
    masks, labels = [], []
    for value in np.unique(truth):
        if value >= 24:
            label = value // 1000 if value >= 1000 else value
            masks += [np.roll(truth == value, rng.integers(-2, 3, 2), axis=(0, 1))] * 2
            labels += [LABEL_IDS.index(label)] * 2
    masks.append(np.zeros_like(truth, dtype=bool))
    masks.append(truth == 0)
    labels += [2, 2]
    sample = DetDataSample(metainfo=dict(
        img_path=str(root / 'leftImg8bit/val/ulm' / (NAME.format(number, 'leftImg8bit') + '.png'))))
    sample.pred_instances = InstanceData(
        labels=torch.as_tensor(labels), scores=torch.as_tensor(rng.random(len(labels))),
        masks=torch.as_tensor(np.array(masks)))
    return sample


def official_averages(root, samples, monkeypatch):
    """The official tool on masks written as PNG files."""
    import cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling as official
    # NumPy renamed the function that the tool still calls.
    monkeypatch.setattr(official.np, 'in1d', np.isin, raising=False)
    monkeypatch.chdir(root)
    lists = [], []
    for number, sample in enumerate(samples):
        lines = []
        for i, (label, score, mask) in enumerate(zip(*(
                sample.pred_instances[key].numpy() for key in ('labels', 'scores', 'masks')),
                strict=True)):
            Image.fromarray(mask.astype(np.uint8)).save(root / f'{number}_{i}.png')
            lines.append(f'{number}_{i}.png {LABEL_IDS[label]} {score!r}'.replace(
                'np.float64(', '').replace(')', ''))
        (root / f'{number}.txt').write_text('\n'.join(lines))
        lists[0].append(str(root / f'{number}.txt'))
        lists[1].append(str(root / 'gtFine/val/ulm' / (
            NAME.format(number, 'gtFine') + '_instanceIds.png')))
    options = types.SimpleNamespace(**vars(official.args))
    options.predictionPath, options.gtInstancesFile = str(root), str(root / 'gt.json')
    options.quiet, options.JSONOutput = True, False
    return official.evaluateImgLists(*lists, options)['averages']


def run(samples, classes=CLASSES, metric=CityscapesInstanceMetric):
    evaluator = Evaluator(metric())
    evaluator.dataset_meta = dict(classes=classes)
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


def test_equals_the_official_tool(tmp_path, monkeypatch):
    samples = [make_image(tmp_path, number) for number in range(4)]
    expected = official_averages(tmp_path, samples, monkeypatch)
    result = run(samples)
    for ours, theirs in (('AP', 'allAp'), ('AP50', 'allAp50%')):
        value = result[f'cityscapes_instance/{ours}']
        assert value == pytest.approx(100 * expected[theirs], rel=1e-12)
        assert 5 < value < 95


def test_errors(tmp_path):
    sample = make_image(tmp_path, 0)
    with pytest.raises(UserError, match="'tram' is none of Cityscapes"):
        run([sample], ('person', 'rider', 'tram', *CLASSES[3:]))
    sample.pred_instances = InstanceData(
        labels=torch.zeros(1).long(), scores=torch.ones(1), masks=torch.ones(1, 60, 91).bool())
    with pytest.raises(UserError, match=r'leftImg8bit.png: .*\(60, 91\).*\(60, 90\)'):
        run([sample])
    sample.set_metainfo(dict(img_path='somewhere/else.png'))
    with pytest.raises(UserError, match='does not exist.*gtFine beside'):
        run([sample])


SEMANTIC = ('road', 'car', 'person', 'rider', 'sky')
SEMANTIC_IDS = (7, 26, 24, 25, 23)


def add_map(sample, number):
    """A wrong map: shifted, with sky in it and void (5, the class count)."""
    truth = np.array(Image.open(truth_path(sample))).astype(int)
    labels = np.where(truth >= 1000, truth // 1000, truth)
    guess = np.full(labels.shape, 5)
    for index, label in enumerate(SEMANTIC_IDS):
        guess[labels == label] = index
    guess = np.roll(guess, (2, number), (0, 1))
    guess[-4:] = 4
    sample.pred_sem_seg = PixelData(sem_seg=torch.as_tensor(guess)[None])
    return np.array([*SEMANTIC_IDS, 0])[guess]


def truth_path(sample):
    return sample.img_path.replace('leftImg8bit/', 'gtFine/').replace(
        'leftImg8bit.png', 'gtFine_instanceIds.png')


def test_semantic_equals_the_official_tool(tmp_path, monkeypatch):
    import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as official
    monkeypatch.setattr(official.np, 'in1d', np.isin, raising=False)
    monkeypatch.setattr(official, 'CSUPPORT', False)
    samples = [make_image(tmp_path, number) for number in range(3)]
    guesses, truths = [], []
    for number, sample in enumerate(samples):
        guess = add_map(sample, number)
        ids = np.array(Image.open(truth_path(sample))).astype(int)
        for path, values in ((tmp_path / f'guess_{number}.png', guess), (
                truth_path(sample).replace('instanceIds', 'labelIds'),
                np.where(ids >= 1000, ids // 1000, ids))):
            Image.fromarray(values.astype(np.uint8)).save(path)
        guesses.append(str(tmp_path / f'guess_{number}.png'))
        truths.append(truth_path(sample).replace('instanceIds', 'labelIds'))
    options = types.SimpleNamespace(**vars(official.args))
    options.quiet, options.JSONOutput = True, False
    expected = official.evaluateImgLists(guesses, truths, options)
    result = run(samples, SEMANTIC, CityscapesSemanticMetric)
    for ours, theirs in (('mIoU', 'Classes'), ('iIoU', 'InstClasses'),
                         ('mIoU_category', 'Categories'), ('iIoU_category', 'InstCategories')):
        value = result[f'cityscapes_semantic/{ours}']
        assert value == pytest.approx(100 * expected[f'averageScore{theirs}'], rel=1e-12)
        assert 5 < value < 95
    assert len({round(value, 6) for value in result.values()}) == 4


def test_both_metrics_together(tmp_path):
    """Their scores have names of their own, also beside those of MaskAPMetric (instance/)."""
    sample = make_image(tmp_path, 0)
    add_map(sample, 0)
    evaluator = Evaluator([CityscapesInstanceMetric(), CityscapesSemanticMetric()])
    evaluator.dataset_meta = dict(classes=SEMANTIC)
    sample.pred_instances.labels[:] = 1
    evaluator.process([sample])
    assert {name.split('/')[0] for name in evaluator.evaluate(1)} == {
        'cityscapes_instance', 'cityscapes_semantic'}
