# COCO 2017 instances with large scale jittering at 1024. Layout below data_root:
#   train2017/*.jpg, val2017/*.jpg
#   annotations/instances_{train2017,val2017}.json
# `--cfg-options data_root=/path/to/data` moves every path of this file.
dataset_type = 'CocoInstanceDataset'
data_root = 'data/coco/'
image_size = 1024

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadInstances'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='LargeScaleJitter', size=image_size, ratio_range=(0.1, 2.0)),
    dict(type='FixedSizeCrop', size=image_size),
    dict(type='PackSegInputs', drop_empty=True),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortestEdge', short_edge=800, max_long=1333),
    dict(type='LoadInstances', keep_crowd=True),
    dict(type='PackSegInputs'),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='MaskAPMetric', ann_file=data_root + 'annotations/instances_val2017.json'),
]
test_evaluator = val_evaluator
