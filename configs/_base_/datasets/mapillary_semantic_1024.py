# Mapillary Vistas v1.2 semantic, 65 classes, crops of 1024. Layout below data_root:
#   {training,validation}/images/*.jpg
#   {training,validation}/v1.2/labels/*.png       (65 = unlabelled)
# `--cfg-options data_root=/path/to/data` moves every path of this file.
dataset_type = 'MapillarySemanticDataset'
data_root = 'data/mapillary/'
crop_size = (1024, 1024)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSemanticMap', void_labels=(65,)),
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
    dict(type='LoadSemanticMap', void_labels=(65,)),
    dict(type='PackSegInputs'),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='training/images', seg_map_path='training/v1.2/labels'),
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
        data_prefix=dict(img_path='validation/images', seg_map_path='validation/v1.2/labels'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator
