"""Packed samples hold what the contract says."""

import numpy as np
import pytest
import torch
from tiny_data import write_instances, write_panoptic

from unimask.datasets import InstanceDataset, PanopticDataset
from unimask.datasets.transforms import InstanceShapes, PackSegInputs
from unimask.registry import TRANSFORMS

LOAD = [dict(type='LoadImage'), dict(type='LoadPanopticMap')]


def test_panoptic_only(tmp_path):
    pipeline = [*LOAD, dict(type='PackSegInputs')]
    packed = PanopticDataset(**write_panoptic(tmp_path), pipeline=pipeline)[0]
    assert packed['inputs'].shape == (3, 6, 8)
    assert packed['inputs'].dtype == torch.uint8
    sample = packed['data_samples']
    assert set(sample.keys()) == {'gt_panoptic_seg'}
    assert sample.gt_panoptic_seg.sem_seg.shape == (1, 6, 8)
    assert sample.gt_panoptic_seg.sem_seg.dtype == torch.int32
    assert sample.gt_panoptic_seg.segments_info[1] == dict(
        id=2, category=1, isthing=True, iscrowd=True)
    assert sample.metainfo['img_id'] == 1
    assert sample.ori_shape == sample.img_shape == (6, 8)


def test_all_tasks_of_one_map(tmp_path):
    pipeline = [*LOAD, dict(type='PackSegInputs', derive=('semantic', 'instance'))]
    sample = PanopticDataset(**write_panoptic(tmp_path), pipeline=pipeline)[0]['data_samples']
    ids = sample.gt_panoptic_seg.sem_seg[0]
    semantic = sample.gt_sem_seg.sem_seg[0]
    assert semantic.unique().tolist() == [0, 1, 2, 255]  # the crowd counts, void does not
    assert ((semantic == 255) == (ids == 0)).all()
    assert sample.gt_instances.labels.tolist() == [0]
    assert sample.ignored_instances.labels.tolist() == [1]
    assert sample.gt_instances.masks.dtype == torch.bool
    assert (sample.gt_instances.masks[0] == (ids == 1)).all()
    assert sample.gt_instances.bboxes.tolist() == [[0, 0, 4, 3]]
    assert sample.ignored_instances.bboxes.tolist() == [[4, 0, 7, 3]]


def test_nothing_to_see(tmp_path):
    pipeline = [*LOAD, dict(type='PackSegInputs', derive=('semantic', 'instance'))]
    sample = PanopticDataset(**write_panoptic(tmp_path), pipeline=pipeline)[1]['data_samples']
    assert sample.gt_panoptic_seg.segments_info == []
    assert (sample.gt_sem_seg.sem_seg == 255).all()
    assert sample.gt_instances.masks.shape == (0, 6, 8)
    assert sample.gt_instances.bboxes.shape == (0, 4)


def test_instances(tmp_path):
    pipeline = [dict(type='LoadImage'), dict(type='LoadInstances', keep_crowd=True),
                dict(type='PackSegInputs')]
    dataset = InstanceDataset(**write_instances(tmp_path), pipeline=pipeline)
    sample = dataset[0]['data_samples']
    assert sample.gt_instances.labels.tolist() == [0, 1]
    assert sample.gt_instances.masks.sum((1, 2)).tolist() == [4, 12]
    assert sample.ignored_instances.masks.sum((1, 2)).tolist() == [6]
    assert dataset[1]['data_samples'].gt_instances.masks.shape == (0, 6, 8)


@pytest.mark.parametrize(('drop', 'count'), [(False, 2), (True, 1)])
def test_empty_instances(drop, count):
    shapes = InstanceShapes(
        [[[1, 1, 3, 1, 3, 3]], [[6, 1, 8, 1, 8, 3]]], shape=(6, 8)).crop(np.array([0, 0, 4, 4]))
    results = dict(img=np.zeros((4, 4, 3), np.uint8), gt_masks=shapes,
                   gt_bboxes_labels=np.array([3, 4]), gt_ignore_flags=np.array([False, False]))
    sample = PackSegInputs(drop_empty=drop)(results)['data_samples']
    assert sample.gt_instances.labels.tolist() == [3, 4][:count]
    assert sample.gt_instances.bboxes[1:].tolist() == [[0, 0, 0, 0]] * (count - 1)


def test_semantic_keeps_its_ignore_index():
    results = dict(img=np.zeros((2, 2, 3), np.uint8), ignore_index=65535,
                   gt_seg_map=np.array([[0, 846], [65535, 1]], np.int32))
    sample = PackSegInputs()(results)['data_samples']
    assert sample.gt_sem_seg.ignore_index == 65535
    assert sample.gt_sem_seg.sem_seg.dtype == torch.int64


def test_image_alone():
    image = np.random.RandomState(0).randint(0, 256, (4, 5, 3), np.uint8)
    packed = PackSegInputs()(dict(img=image[:, ::-1]))
    assert packed['inputs'].shape == (3, 4, 5)
    assert packed['inputs'][1, 2, 0] == image[2, 4, 1]
    assert list(packed['data_samples'].keys()) == []


def test_unknown_derivation():
    with pytest.raises(ValueError, match='depth'):
        PackSegInputs(derive=('depth',))


def test_flip_means_the_one_that_flips_masks():
    shapes = InstanceShapes([[[0, 0, 2, 0, 2, 2, 0, 2]]], shape=(4, 6))
    results = dict(img=np.zeros((4, 6, 3), np.uint8), gt_masks=shapes)
    flipped = TRANSFORMS.build(dict(type='RandomFlip', prob=1.0))(results)['gt_masks'].to_ndarray()
    assert flipped[0, :2, 4:].all()
    assert flipped.sum() == 4


def test_packed_values_are_plain_and_on_the_cpu(tmp_path):
    """So that targets can be made before anything moves to a device, and without asking it."""
    pipeline = [*LOAD, dict(type='PackSegInputs', derive=('semantic', 'instance'))]
    sample = PanopticDataset(**write_panoptic(tmp_path), pipeline=pipeline)[0]['data_samples']
    tensors = [sample.gt_panoptic_seg.sem_seg, sample.gt_sem_seg.sem_seg,
               *(sample.gt_instances[key] for key in ('labels', 'masks', 'bboxes'))]
    for tensor in tensors:
        assert type(tensor) is torch.Tensor
        assert tensor.device.type == 'cpu' and tensor.is_contiguous()
    for segment in sample.gt_panoptic_seg.segments_info:
        assert [type(segment[key]) for key in ('id', 'category', 'isthing', 'iscrowd')] == [
            int, int, bool, bool]
    assert type(sample.gt_sem_seg.ignore_index) is int
