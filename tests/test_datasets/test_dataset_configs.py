"""Every dataset config: it is read, its pipelines build, and it trains on tiny or real data."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from unimask.errors import UserError
from unimask.preflight.components import check_components
from unimask.registry import DATASETS, TRANSFORMS
from unimask.structures.taxonomy import Taxonomy

FOLDER = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets'
CONFIGS = sorted(path.stem for path in FOLDER.glob('*.py'))


def _config(name: str) -> Config:
    return Config.fromfile(FOLDER / f'{name}.py')


@pytest.mark.parametrize('name', CONFIGS)
def test_config(name):
    cfg = _config(name)
    assert cfg.val_dataloader == cfg.test_dataloader
    assert cfg.val_evaluator == cfg.test_evaluator
    for part in ('train', 'val'):
        dataset = cfg[f'{part}_dataloader'].dataset
        assert dataset.data_root == cfg.data_root
        assert dataset.type == cfg.dataset_type
        for step in dataset.pipeline:
            TRANSFORMS.build(step)
        built = DATASETS.get(dataset.type)
        if built.METAINFO.get('classes'):
            Taxonomy.from_metainfo(built.METAINFO)
    metrics = cfg.val_evaluator
    for metric in metrics if isinstance(metrics, list) else [metrics]:
        assert metric.get('data_root', cfg.data_root) == cfg.data_root
        assert not metric.get('ann_file', '').startswith(cfg.data_root)


PUBLISHED = {  # crop or jitter size, short edge and limit of the long edge in testing
    'coco_panoptic_lsj1024': (1024, 800, 1333), 'coco_instance_lsj1024': (1024, 800, 1333),
    'coco_panoptic_detr': (None, 800, 1333), 'ade20k_semantic_512': ((512, 512), 512, 2048),
    'ade20k_semantic_640': ((640, 640), 640, 2560), 'ade20k_panoptic_640': ((640, 640), 640, 2560),
    'ade20k_instance_640': ((640, 640), 640, 2560),
    'cityscapes_semantic_512x1024': ((512, 1024), 1024, 2048),
    'cityscapes_panoptic_512x1024': ((512, 1024), 1024, 2048),
    'cityscapes_instance_512x1024': ((512, 1024), 1024, 2048),
    'coco_stuff10k_semantic_640': ((640, 640), 640, 2560),
    'mapillary_semantic_1024': ((1024, 1024), 2048, 2048),
    'mapillary_panoptic_1024': ((1024, 1024), 2048, 2048)}
SHORT_EDGES = {512: (256, 307, 1024), 640: (320, 384, 1280), 1024: (512, 614, 2048),
               2048: (1024, 1228, 4096)}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_sizes(name):
    cfg = _config(name)
    crop, short, long = PUBLISHED[name]
    assert crop == cfg.crop_size
    (test_resize,) = [t for t in cfg.test_pipeline if t.type == 'ResizeShortestEdge']
    assert (test_resize.short_edge, test_resize.max_long) == (short, long)
    for train_resize in [t for t in cfg.train_pipeline if t.type == 'ResizeShortestEdge']:
        choices = train_resize.short_edge
        few = 'stuff' in name  # 0.5 to 1.5 times
        assert len(choices) == (11 if few else 16)
        assert (choices[0], choices[1]) == SHORT_EDGES[short][:2]
        assert choices[-1] == (960 if few else SHORT_EDGES[short][2])
        assert train_resize.max_long == 4 * short
    padded = any(t.type in ('PadToSize', 'FixedSizeCrop') for t in cfg.train_pipeline)
    assert padded == ('cityscapes' not in name and 'detr' not in name)


REAL = {'camvid_semantic': 'camvid', 'pennfudan_instance': 'pennfudan',
        'coco_mini_panoptic': 'coco_mini', 'coco_mini_panoptic27': 'coco_mini'}


@pytest.mark.parametrize('name', REAL)
@pytest.mark.parametrize('part', ['train', 'val'])
def test_real_data(name, part, shared_data):
    cfg = _config(name)
    options = cfg[f'{part}_dataloader'].dataset
    options.data_root = str(shared_data / REAL[name])
    dataset = DATASETS.build(options)
    classes = Taxonomy.from_metainfo(dataset.metainfo).num_classes
    np.random.seed(0)
    for index in (0, len(dataset) // 2, len(dataset) - 1):
        item = dataset[index]
        sample = item['data_samples']
        height, width = item['inputs'].shape[1:]
        expected = (height, width) if part == 'train' else sample.ori_shape
        if 'gt_panoptic_seg' in sample:
            seg = sample.gt_panoptic_seg
            ids = {s['id'] for s in seg.segments_info} | {0}
            assert set(seg.sem_seg.unique().tolist()) <= ids
            assert all(0 <= s['category'] < classes for s in seg.segments_info)
            shape = seg.sem_seg.shape[1:]
        elif 'gt_sem_seg' in sample:
            shape = sample.gt_sem_seg.sem_seg.shape[1:]
        else:
            shape = sample.gt_instances.masks.shape[1:]
            assert len(sample.gt_instances.labels) == len(sample.gt_instances.masks)
        assert tuple(shape) == tuple(expected)


def test_full_size_chain_on_a_small_image(shared_data):
    """The published chains run on real images of any size; here COCO's in the LSJ and DETR form."""
    for name in ('coco_panoptic_lsj1024', 'coco_panoptic_detr'):
        options = _config(name).train_dataloader.dataset
        options.update(data_root=str(shared_data / 'coco_mini'),
                       ann_file='annotations/panoptic_train.json',
                       data_prefix=dict(img='images/train', seg='annotations/panoptic_train'))
        item = DATASETS.build(options)[0]
        shape = item['inputs'].shape[1:]
        assert shape == item['data_samples'].gt_panoptic_seg.sem_seg.shape[1:]
        assert shape == (1024, 1024) if 'lsj' in name else min(shape) >= 384


@pytest.mark.parametrize('kind', [
    'InstanceDataset', 'PanopticDataset', 'SemanticDataset', 'ADE20KSemanticDataset'])
def test_misspelt_option_of_a_data_set(kind):
    cfg = Config(dict(train_dataloader=dict(dataset=dict(type=kind, anfile='a.json'))))
    with pytest.raises(UserError, match=rf"dataset\.anfile: {kind} has no option .*'ann_file'"):
        check_components(cfg)
    cfg.train_dataloader.dataset = dict(
        type=kind, ann_file='a.json', data_root='', data_prefix={}, metainfo={}, pipeline=[],
        indices=5, test_mode=True, filter_cfg={}, backend_args=None, lazy_init=True)
    check_components(cfg)
