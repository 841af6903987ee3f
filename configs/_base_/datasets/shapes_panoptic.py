# Built-in Shapes data, things and stuff. Make it first:
#   python tools/dataset_converters/make_shapes.py data/shapes
dataset_type = 'ShapesDataset'
data_root = 'data/shapes/'
crop_size = (128, 128)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadPanopticMap'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='LargeScaleJitter', size=160, ratio_range=(0.8, 1.25)),
    dict(type='RandomCrop', size=crop_size),
    dict(type='PackSegInputs'),
]
# pictures are tested at their own size
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadPanopticMap'),
    dict(type='PackSegInputs', derive=('semantic', 'instance')),
]

# Loading takes a few milliseconds: on the few cores that this data is meant for, workers would
# only take time and memory from the model.
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/panoptic_train.json',
        data_prefix=dict(img='images/train/', seg='annotations/panoptic_train/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/panoptic_val.json',
        data_prefix=dict(img='images/val/', seg='annotations/panoptic_val/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='PQMetric'), dict(type='MaskAPMetric'), dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator
