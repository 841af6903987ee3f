# Penn-Fudan pedestrians: 170 photos, one class. Layout below data_root:
#   images/{train,val}/*.jpg
#   annotations/instances_{train,val}.json
# tools/dataset_converters/pennfudan.py makes it of the original PennFudanPed. Sizes suit a CPU.
# `--cfg-options data_root=/path/to/data` moves every path of this file.
dataset_type = 'PennFudanDataset'
data_root = 'data/pennfudan/'
image_size = 384

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadInstances'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='LargeScaleJitter', size=image_size, ratio_range=(0.5, 1.5)),
    dict(type='FixedSizeCrop', size=image_size),
    dict(type='ColorAugSSD'),
    dict(type='PackSegInputs', drop_empty=True),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortestEdge', short_edge=384, max_long=640),
    dict(type='LoadInstances', keep_crowd=True),
    dict(type='PackSegInputs'),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='images/train/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='images/val/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='MaskAPMetric')]
test_evaluator = val_evaluator
