# A small part of COCO panoptic with 27 super-categories. Layout below data_root:
#   images/{train,val}/*.jpg
#   annotations/panoptic27_{train,val}.json, annotations/panoptic27_{train,val}/*.png
# Sizes suit a CPU.
# The classes are those of the annotation file: a data set of one's own in COCO panoptic format
# needs nothing but its data_root.
# `--cfg-options data_root=/path/to/data` moves every path of this file.
dataset_type = 'PanopticDataset'
data_root = 'data/coco_mini/'
image_size = 384

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadPanopticMap'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='LargeScaleJitter', size=image_size, ratio_range=(0.5, 1.5)),
    dict(type='FixedSizeCrop', size=image_size),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortestEdge', short_edge=384, max_long=640),
    dict(type='LoadPanopticMap'),
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
        ann_file='annotations/panoptic27_train.json',
        data_prefix=dict(img='images/train/', seg='annotations/panoptic27_train/'),
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
        ann_file='annotations/panoptic27_val.json',
        data_prefix=dict(img='images/val/', seg='annotations/panoptic27_val/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='PQMetric'),
    dict(type='MaskAPMetric'),
    dict(type='MeanIoUMetric'),
]
test_evaluator = val_evaluator
