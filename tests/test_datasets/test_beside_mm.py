"""What is small enough to be our own does what its namesake in mmdet, mmseg or mmcv does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from unimask import datasets
from unimask.data_sample import DataSample
from unimask.datasets import SemanticDataset
from unimask.datasets.transforms import InstanceShapes, RandomFlip, Resize
from unimask.errors import UserError
from unimask.registry import DATA_SAMPLERS, DATASETS, TRANSFORMS

mmdet = pytest.importorskip('mmdet.structures')
SHAPES = [[[1.0, 1, 9, 2, 6, 8]], [[0.0, 0, 13, 0, 13, 3, 0, 3]]]


def sample() -> dict:
    """An image with all kinds of labels."""
    rng = np.random.RandomState(0)
    return dict(img=rng.randint(0, 256, (9, 14, 3), np.uint8),
                gt_seg_map=rng.randint(0, 4, (9, 14)).astype(np.int32),
                gt_masks=InstanceShapes(SHAPES, shape=(9, 14)))


def assert_same(ours: dict, theirs: dict, *keys: str) -> None:
    assert ours['gt_masks'].to_ndarray().any()
    np.testing.assert_array_equal(ours['gt_masks'].to_ndarray(), theirs['gt_masks'].to_ndarray())
    for key in ('img', 'gt_seg_map'):
        assert ours[key].dtype == theirs[key].dtype
        np.testing.assert_array_equal(ours[key], theirs[key])
    for key in keys:
        assert ours[key] == theirs[key]


@pytest.mark.parametrize(('prob', 'direction'), [
    (0.5, 'horizontal'), (1.0, 'vertical'), (1.0, 'diagonal'), (0.0, 'horizontal'),
    (0.9, ['horizontal', 'vertical']), ([0.3, 0.4, 0.2], ['diagonal', 'horizontal', 'vertical'])])
def test_flip(prob: float | list, direction: str | list) -> None:
    options = dict(prob=prob, direction=direction)
    theirs = TRANSFORMS.build(dict(type='mmdet.RandomFlip', **options))
    ours = TRANSFORMS.build(dict(type='RandomFlip', **options))
    assert type(ours) is RandomFlip
    seen = set()
    for seed in range(12):  # the same draws
        np.random.seed(seed)
        expected = theirs(sample())
        np.random.seed(seed)
        result = ours(sample())
        assert_same(result, expected, 'flip', 'flip_direction')
        seen.add(result['flip_direction'])
    kinds = {direction} if isinstance(direction, str) else set(direction)
    assert seen == (kinds if prob == 1 else {None} if prob == 0 else kinds | {None})


@pytest.mark.parametrize('options', [
    dict(scale=(20, 30)), dict(scale=(20, 30), keep_ratio=True), dict(scale=(7, 5)),
    dict(scale_factor=1.1, keep_ratio=True), dict(scale_factor=0.55),
    dict(scale_factor=0.37, keep_ratio=True)])
def test_resize(options: dict) -> None:
    theirs = TRANSFORMS.build(dict(type='mmdet.Resize', **options))(sample())
    ours = TRANSFORMS.build(dict(type='Resize', **options))(sample())
    assert_same(ours, theirs, 'img_shape', 'scale_factor')


def test_options_that_say_nothing() -> None:
    with pytest.raises(UserError, match='one of `scale`'):
        Resize()
    with pytest.raises(UserError, match='one of `scale`'):
        Resize((3, 4), scale_factor=2.0)
    with pytest.raises(UserError, match='sideways'):
        RandomFlip(0.5, 'sideways')
    for prob in (1.5, -0.1, [0.4, 0.7]):
        with pytest.raises(UserError, match='prob='):
            RandomFlip(prob, ['horizontal', 'vertical'])


class Images(torch.utils.data.Sampler):
    """Draws images in a fixed order; ``dataset`` tells their sizes."""

    def __init__(self) -> None:
        rng = np.random.RandomState(3)
        self.sizes = rng.randint(1, 9, (23, 2)).tolist()
        self.order = rng.permutation(23).tolist()
        self.dataset = self

    def get_data_info(self, index: int) -> dict:
        return dict(zip(('width', 'height'), self.sizes[index], strict=True))

    def __iter__(self):
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)


@pytest.mark.parametrize('drop_last', [False, True])
def test_batches_of_one_kind(drop_last: bool) -> None:
    options = dict(sampler=Images(), batch_size=4, drop_last=drop_last)
    ours = DATA_SAMPLERS.build(dict(type='AspectRatioBatchSampler', **options))
    theirs = DATA_SAMPLERS.build(dict(type='mmdet.AspectRatioBatchSampler', **options))
    assert type(ours).__module__.startswith('unimask.')
    assert list(ours) == list(theirs) == list(ours)
    assert len(ours) == len(theirs)
    assert sum(map(len, ours)) == (20 if drop_last else 23)


TWINS = dict(
    CocoInstanceDataset='mmdet.CocoDataset', CocoPanopticDataset='mmdet.CocoPanopticDataset',
    ADE20KInstanceDataset='mmdet.ADE20KInstanceDataset',
    CityscapesInstanceDataset='mmdet.CityscapesDataset',
    ADE20KSemanticDataset='mmseg.ADE20KDataset', COCOStuff10kDataset='mmseg.COCOStuffDataset',
    CityscapesSemanticDataset='mmseg.CityscapesDataset',
    ADE20KPanopticDataset='mmseg.ADE20KDataset',
    CityscapesPanopticDataset='mmseg.CityscapesDataset',
    MapillarySemanticDataset='mmseg.MapillaryDataset_v1')


@pytest.mark.parametrize('name', sorted(TWINS))
def test_classes_and_colours(name: str) -> None:
    ours, theirs = (DATASETS.get(each).METAINFO for each in (name, TWINS[name]))
    count = len(ours['classes'])
    assert count == len(theirs['classes']) - ('Mapillary' in name)  # theirs has "Unlabeled" too
    assert list(ours['classes']) == [each.strip() for each in theirs['classes'][:count]]
    assert ours['palette'] == [tuple(colour) for colour in theirs['palette'][:count]]


def test_things() -> None:
    for name, twin in (('CocoPanopticDataset', 'mmdet.CocoDataset'),
                       ('ADE20KPanopticDataset', 'mmdet.ADE20KInstanceDataset'),
                       ('CityscapesPanopticDataset', 'mmdet.CityscapesDataset')):
        ours = getattr(datasets, name).METAINFO
        assert ours['thing_classes'] == tuple(DATASETS.get(twin).METAINFO['classes'])
        assert sorted(ours['thing_classes'] + ours['stuff_classes']) == sorted(ours['classes'])


@pytest.mark.parametrize('name', ['ADE20KSemanticDataset', 'CityscapesSemanticDataset',
                                  'COCOStuff10kDataset', 'SemanticDataset'])
def test_semantic_options(name: str) -> None:
    """How files are named and counted, and what a choice of classes makes of labels."""
    twin = dict(SemanticDataset='mmseg.BaseSegDataset').get(name) or TWINS[name]
    known = DATASETS.get(name).METAINFO.get('classes')
    for classes in (('a', 'b'),) if known is None else (None, (known[3], known[0])):
        options = dict(lazy_init=True, **({} if classes is None else
                                          dict(metainfo=dict(classes=classes))))
        ours, theirs = (DATASETS.build(dict(type=kind, **options)) for kind in (name, twin))
        assert ours.label_map == theirs.label_map
        assert (ours.label_map is None) == (known is None or classes is None)
        for key in ('img_suffix', 'seg_map_suffix', 'data_prefix', 'test_mode'):
            assert getattr(ours, key) == getattr(theirs, key)
        assert ours.reduce_zero_label == (theirs.reduce_zero_label or 'Stuff' in name)
        for key in ('label_map', 'reduce_zero_label'):
            assert ours.metainfo[key] == getattr(ours, key)


def test_foreign_classes_and_colours_of_the_wrong_number() -> None:
    with pytest.raises(UserError, match=r"has \['skyy'\].*'sky'.*use SemanticDataset"):
        datasets.CityscapesSemanticDataset(metainfo=dict(classes=('skyy',)), lazy_init=True)
    with pytest.raises(UserError, match='1 colours for 2 classes'):
        SemanticDataset(metainfo=dict(classes=('a', 'b'), palette=[(0, 0, 0)]), lazy_init=True)
    plain = SemanticDataset(metainfo=dict(classes=('a', 'b')), lazy_init=True)
    assert len({tuple(colour) for colour in plain.metainfo['palette']}) == 2


def test_sample_has_the_fields_of_mmdets() -> None:
    fields = dict(gt_instances=InstanceData(labels=torch.arange(2)),
                  pred_sem_seg=PixelData(sem_seg=torch.zeros(1, 2, 3)))
    ours, theirs = (kind(metainfo=dict(img_id=3), **fields)
                    for kind in (DataSample, mmdet.DetDataSample))
    assert set(ours.keys()) == set(theirs.keys()) == set(fields)
    assert ours.img_id == theirs.img_id == 3
    assert 'gt_instances' in ours and 'gt_sem_seg' not in ours
    assert ours.get('gt_sem_seg') is theirs.get('gt_sem_seg') is None
    assert ours.to_dict().keys() == theirs.to_dict().keys()
    with pytest.raises(AttributeError):
        _ = ours.gt_panoptic_seg
    for name in DataSample.__annotations__:
        assert isinstance(getattr(mmdet.DetDataSample, name), property)
