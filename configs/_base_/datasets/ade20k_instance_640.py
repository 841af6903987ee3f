# ADE20K instances, 100 classes, crops of 640. Layout below data_root:
#   images/{training,validation}/*.jpg
#   ade20k_instance_{train,val}.json
# The latter are made by tools/dataset_converters/ade20k_things.py.
_base_ = '../loaders.py'
from unimask.pipelines import scale_and_crop, testing, training

dataset_type = 'ADE20KInstanceDataset'
data_root = 'data/ADEChallengeData2016/'
crop_size = (640, 640)
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('instance',)))

train_pipeline = training('LoadInstances', scale_and_crop(640, crop_size))
test_pipeline = testing(
    dict(type='LoadInstances', keep_crowd=True), short_edge=640, max_long=2560)

train_dataloader = dict(
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ade20k_instance_train.json',
        data_prefix=dict(img='images/training/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ade20k_instance_val.json',
        data_prefix=dict(img='images/validation/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='MaskAPMetric', data_root=data_root, ann_file='ade20k_instance_val.json'),
]
test_evaluator = val_evaluator
