# ADE20K scene parsing with crops of 640 (models with Swin-B and Swin-L). Layout: as in the base.
_base_ = './ade20k_semantic_512.py'
crop_size = (640, 640)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSemanticMap'),
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
    dict(type='LoadSemanticMap'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# multi-scale and flipped testing
tta_model = dict(
    type='SemanticTTA', short_sides=(320, 480, 640, 800, 960, 1120), max_long_side=4480)
