# COCO 2017 instances with large scale jittering at 1024. Layout below data_root:
#   train2017/*.jpg, val2017/*.jpg
#   annotations/instances_{train2017,val2017}.json
_base_ = '../loaders.py'
from unimask.pipelines import jitter_and_crop, testing, training

dataset_type = 'CocoInstanceDataset'
data_root = 'data/coco/'
crop_size = 1024
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('instance',)))

train_pipeline = training('LoadInstances', jitter_and_crop(crop_size), drop_empty=True)
test_pipeline = testing(
    dict(type='LoadInstances', keep_crowd=True), short_edge=800, max_long=1333)

train_dataloader = dict(
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [
    dict(
        type='MaskAPMetric', data_root=data_root,
        ann_file='annotations/instances_val2017.json'),
]
test_evaluator = val_evaluator
