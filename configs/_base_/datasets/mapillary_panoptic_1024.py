# Mapillary Vistas v1.2 panoptic, 37 things and 28 stuff classes, crops of 1024.
# Layout below data_root:
#   {training,validation}/images/*.jpg
#   {training,validation}/v1.2/panoptic/{panoptic_2018.json,*.png}
# `--cfg-options data_root=/path/to/data` moves every path of this file.
dataset_type = 'MapillaryPanopticDataset'
data_root = 'data/mapillary/'
crop_size = (1024, 1024)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadPanopticMap'),
    dict(
        type='ResizeShortestEdge',
        short_edge=[int(0.1 * step * 2048) for step in range(5, 21)],
        max_long=8192),
    dict(type='RandomCrop', size=crop_size),
    dict(type='ColorAugSSD'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='PadToSize', size=crop_size),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortestEdge', short_edge=2048, max_long=2048),
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
        ann_file='training/v1.2/panoptic/panoptic_2018.json',
        data_prefix=dict(img='training/images/', seg='training/v1.2/panoptic/'),
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
        ann_file='validation/v1.2/panoptic/panoptic_2018.json',
        data_prefix=dict(img='validation/images/', seg='validation/v1.2/panoptic/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='PQMetric'),
    dict(type='MeanIoUMetric'),
]
test_evaluator = val_evaluator
