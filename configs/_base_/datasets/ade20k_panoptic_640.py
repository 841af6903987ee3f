# ADE20K panoptic, 100 things and 50 stuff classes, crops of 640. Layout below data_root:
#   images/{training,validation}/*.jpg
#   ade20k_panoptic_{train,val}.json, ade20k_panoptic_{train,val}/*.png
# The latter are made by tools/dataset_converters/ade20k_things.py.
# `--cfg-options data_root=/path/to/data` moves every path of this file.
dataset_type = 'ADE20KPanopticDataset'
data_root = 'data/ADEChallengeData2016/'
crop_size = (640, 640)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadPanopticMap'),
    dict(
        type='ResizeShortestEdge',
        short_edge=[int(0.1 * step * 640) for step in range(5, 21)],
        max_long=2560),
    dict(type='RandomCrop', size=crop_size),
    dict(type='ColorAugSSD'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='PadToSize', size=crop_size),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortestEdge', short_edge=640, max_long=2560),
    dict(type='LoadPanopticMap'),
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
        ann_file='ade20k_panoptic_train.json',
        data_prefix=dict(img='images/training/', seg='ade20k_panoptic_train/'),
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
        ann_file='ade20k_panoptic_val.json',
        data_prefix=dict(img='images/validation/', seg='ade20k_panoptic_val/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='PQMetric'),
    dict(type='MaskAPMetric'),
    dict(type='MeanIoUMetric'),
]
test_evaluator = val_evaluator

tta_model = dict(
    type='SemanticTTA', short_sides=(320, 480, 640, 800, 960, 1120), max_long_side=4480)
