# Cityscapes semantic, 19 classes, crops of 512 x 1024. Layout below data_root:
#   leftImg8bit/{train,val}/CITY/*_leftImg8bit.png
#   gtFine/{train,val}/CITY/*_gtFine_labelTrainIds.png
# The label maps are made by tools/dataset_converters/cityscapes.py.
# `--cfg-options data_root=/path/to/data` moves every path of this file.
dataset_type = 'CityscapesSemanticDataset'
data_root = 'data/cityscapes/'
crop_size = (512, 1024)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSemanticMap'),
    dict(
        type='ResizeShortestEdge',
        short_edge=[int(0.1 * step * 1024) for step in range(5, 21)],
        max_long=4096),
    dict(type='RandomCrop', size=crop_size),
    dict(type='ColorAugSSD'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortestEdge', short_edge=1024, max_long=2048),
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
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
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
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator

# multi-scale and flipped testing
tta_model = dict(
    type='SemanticTTA', short_sides=(512, 768, 1024, 1280, 1536, 1792), max_long_side=4096)
