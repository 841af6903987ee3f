"""Cityscapes AP against cityscapesscripts on files."""

import types

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from PIL import Image

from unimask.errors import UserError
from unimask.evaluation import CityscapesInstanceMetric

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


def run(samples, classes=CLASSES):
    evaluator = Evaluator(CityscapesInstanceMetric())
    evaluator.dataset_meta = dict(classes=classes)
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


def test_equals_the_official_tool(tmp_path, monkeypatch):
    samples = [make_image(tmp_path, number) for number in range(4)]
    expected = official_averages(tmp_path, samples, monkeypatch)
    result = run(samples)
    assert result['instance/AP'] == pytest.approx(100 * expected['allAp'], rel=1e-12)
    assert result['instance/AP50'] == pytest.approx(100 * expected['allAp50%'], rel=1e-12)
    assert 5 < result['instance/AP'] < 95


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
