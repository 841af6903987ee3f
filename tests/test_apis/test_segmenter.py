"""Three lines from a file to numbers: the segmenter and its results."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from PIL import Image
from pycocotools import mask as rle

import unimask
from tests.test_apis.conftest import noise
from unimask.apis import Inferencer, Result, Segmenter
from unimask.errors import UserError
from unimask.structures import Taxonomy

TAXONOMY = Taxonomy(('cat', 'sky'), (True, False), ((200, 40, 40), (40, 40, 200)))


@pytest.fixture(scope='module')
def segmenter(checkpoint: Path) -> Segmenter:
    return Segmenter.from_pretrained(checkpoint, device='cpu', min_score=0.0)


def sample() -> DetDataSample:
    """Three cats, of which the first two are nearly the same; a sky above."""
    masks = torch.zeros(3, 10, 12, dtype=torch.bool)
    masks[0, 2:8, 1:6] = True
    masks[1, 2:8, 1:7] = True
    masks[2, 5:9, 8:11] = True
    ids = torch.full((10, 12), 255, dtype=torch.int64)
    ids[:2], ids[2:8, 1:6] = 900, 0
    panoptic = PixelData(sem_seg=ids[None])
    panoptic.set_metainfo(dict(segments_info=[
        dict(id=900, category=1, score=0.8, area=24, isthing=False),
        dict(id=0, category=0, score=0.7, area=30, isthing=True)]))
    return DetDataSample(
        metainfo=dict(ori_shape=(10, 12), img_path='a.jpg'), pred_panoptic_seg=panoptic,
        pred_instances=InstanceData(
            masks=masks, labels=torch.zeros(3, dtype=torch.int64),
            scores=torch.tensor([0.5, 0.9, 0.2]),
            bboxes=torch.tensor([[1., 2, 6, 8], [1, 2, 7, 8], [8, 5, 11, 9]])),
        pred_sem_seg=PixelData(sem_seg=(ids == 900).long()[None],
                               confidence=torch.full((1, 10, 12), 0.75)))


def result(**options: float) -> Result:
    return Result.from_sample(sample(), noise(10, 12), TAXONOMY, name='a', **options)


def test_everything_in_numpy() -> None:
    found = result()
    assert found.semantic.shape == (10, 12) and found.semantic[0, 0] == 1
    assert found.confidence.dtype == np.float32 and (found.confidence == 0.75).all()
    assert found.instances.names == ('cat',) * 3
    assert found.instances.scores.tolist() == pytest.approx([0.9, 0.5, 0.2])
    assert found.instances.masks.dtype == bool
    assert [mask.sum() for mask in found.instances.masks] == [36, 30, 12]
    assert found.instances.boxes[2].tolist() == [8, 5, 11, 9]
    sky, cat = found.segments
    assert (sky.id, sky.name, sky.is_thing, sky.area) == (1, 'sky', False, 24)
    assert (cat.id, cat.name, cat.is_thing) == (2, 'cat', True)
    assert np.bincount(found.panoptic.ravel()).tolist() == [66, 24, 30]


@pytest.mark.parametrize('device', ['cuda:99', 'gpu', 'xpu'])
def test_a_device_that_is_not_there(device: str, checkpoint: Path) -> None:
    with pytest.raises(UserError, match=f'no device {device!r} here, only cpu'):
        Segmenter.from_pretrained(checkpoint, device=device)


def test_thresholds() -> None:
    assert result(min_score=0.4).instances.scores.tolist() == pytest.approx([0.9, 0.5])
    assert result(duplicate_iou=0.8).instances.scores.tolist() == pytest.approx([0.9, 0.2])
    assert len(result(min_score=0.95).instances) == 0
    assert result(min_score=0.95).instances.masks.shape == (0, 10, 12)


def test_what_is_not_predicted_is_none() -> None:
    data = sample()
    del data.pred_instances, data.pred_panoptic_seg
    found = Result.from_sample(data, noise(10, 12), TAXONOMY, name='a')
    assert found.instances is None and found.panoptic is None and found.segments == ()
    with pytest.raises(UserError, match='to_coco is for instances'):
        found.to_coco()
    with pytest.raises(UserError, match='predicts semantic, not panoptic'):
        found.overlay('panoptic')


@pytest.mark.parametrize('task', [None, 'semantic', 'instance', 'panoptic'])
def test_overlay(task: str | None) -> None:
    image = noise(10, 12)
    painted = Result.from_sample(sample(), image, TAXONOMY, name='a').overlay(task)
    assert painted.shape == image.shape and painted.dtype == np.uint8
    assert (painted != image).any()


def test_coco() -> None:
    entries = result(min_score=0.4).to_coco(image_id=7)
    assert [entry['image_id'] for entry in entries] == [7, 7]
    assert entries[0]['bbox'] == [1, 2, 6, 6]
    assert rle.decode(json.loads(json.dumps(entries[1]))['segmentation']).sum() == 30


def test_supervision() -> None:
    try:
        import supervision
    except ImportError:
        with pytest.raises(UserError, match='pip install supervision'):
            result().to_supervision()
        return
    found = result().to_supervision()
    assert isinstance(found, supervision.Detections)
    assert len(found) == 3 and found.data['class_name'][0] == 'cat'


def test_saved_files(tmp_path: Path) -> None:
    result(min_score=0.4).save(tmp_path / 'out')
    (record,) = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    assert len(record['instances']) == 2
    assert (tmp_path / 'out' / 'a.png').is_file()
    assert (tmp_path / 'out' / 'panoptic' / 'a.png').is_file()


def test_from_pretrained(segmenter: Segmenter, inferencer: Inferencer, folder: Path) -> None:
    assert unimask.Segmenter is Segmenter
    assert segmenter.classes == ('cat', 'grass')
    found = segmenter(folder / 'x.jpg')
    expected = inferencer(str(folder / 'x.jpg'))[0]
    assert (found.semantic == expected.pred_sem_seg.sem_seg[0].numpy()).all()
    assert (found.confidence > 0).all() and (found.confidence <= 1).all()
    assert len(found.instances) == len(expected.pred_instances)
    assert found.image.shape == (40, 60, 3)
    assert (found.image == np.asarray(Image.open(folder / 'x.jpg'))).all()


def test_pictures_of_every_kind(segmenter: Segmenter, folder: Path) -> None:
    one = segmenter(noise())
    assert (one.image == noise()[..., ::-1]).all()
    assert isinstance(segmenter(Image.fromarray(noise())), Result)
    several = segmenter([noise(), noise(30, 20)], batch_size=2)
    assert [each.semantic.shape for each in several] == [(40, 60), (30, 20)]
    assert (several[0].semantic == one.semantic).mean() > 0.99
    assert [each.name for each in segmenter(folder)] == [
        each.name for each in segmenter(folder, batch_size=2)]
    assert isinstance(segmenter([noise()]), list)


class TestWrong:

    @pytest.mark.parametrize('options', [dict(min_score=2.0), dict(duplicate_iou=-0.1)])
    def test_thresholds(self, inferencer: Inferencer, options: dict) -> None:
        with pytest.raises(UserError, match=f'{next(iter(options))} is .*from 0 to 1'):
            Segmenter(inferencer, **options)

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match='gone'):
            Segmenter.from_pretrained(tmp_path / 'gone.pth')

    def test_a_batch_of_none(self, segmenter: Segmenter) -> None:
        with pytest.raises(UserError, match='batch_size must be 1 or more'):
            segmenter([noise()], batch_size=0)
