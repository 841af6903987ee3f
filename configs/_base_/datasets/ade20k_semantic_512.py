# ADE20K scene parsing (ADEChallengeData2016), 150 classes, crops of 512. Layout below data_root:
#   images/{training,validation}/*.jpg
#   annotations/{training,validation}/*.png       (0 = unlabelled, 1 to 150)
# `--cfg-options data_root=/path/to/data` moves every path of this file.
dataset_type = 'ADE20KSemanticDataset'
data_root = 'data/ADEChallengeData2016/'
crop_size = (512, 512)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSemanticMap'),
    dict(
        type='ResizeShortestEdge',
        short_edge=[int(0.1 * step * 512) for step in range(5, 21)],
        max_long=2048),
    dict(type='RandomCrop', size=crop_size),
    dict(type='ColorAugSSD'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='PadToSize', size=crop_size),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortestEdge', short_edge=512, max_long=2048),
    dict(type='LoadSemanticMap'),
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
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
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
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator

# multi-scale and flipped testing
tta_model = dict(
    type='SemanticTTA', short_sides=(256, 384, 512, 640, 768, 896), max_long_side=3584)
