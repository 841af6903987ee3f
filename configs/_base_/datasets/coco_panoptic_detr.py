# COCO 2017 panoptic with the augmentation of DETR (MaskFormer). Layout below data_root:
#   train2017/*.jpg, val2017/*.jpg
#   annotations/panoptic_{train2017,val2017}.json, panoptic_{train2017,val2017}/*.png,
#     instances_val2017.json (for AP)
# `--cfg-options data_root=/path/to/data` moves every path of this file.
dataset_type = 'CocoPanopticDataset'
data_root = 'data/coco/'
short_edges = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadPanopticMap'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[
            [dict(type='ResizeShortestEdge', short_edge=short_edges, max_long=1333)],
            [
                dict(type='ResizeShortestEdge', short_edge=(400, 500, 600)),
                dict(type='RandomRangeCrop', min_size=384, max_size=600),
                dict(type='ResizeShortestEdge', short_edge=short_edges, max_long=1333),
            ],
        ]),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortestEdge', short_edge=800, max_long=1333),
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
        ann_file='annotations/panoptic_train2017.json',
        data_prefix=dict(img='train2017/', seg='annotations/panoptic_train2017/'),
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
        ann_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img='val2017/', seg='annotations/panoptic_val2017/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

# One pass: PQ and mIoU from the panoptic maps, AP against COCO's own instance file.
val_evaluator = [
    dict(type='PQMetric'),
    dict(type='MaskAPMetric', ann_file=data_root + 'annotations/instances_val2017.json'),
    dict(type='MeanIoUMetric'),
]
test_evaluator = val_evaluator
