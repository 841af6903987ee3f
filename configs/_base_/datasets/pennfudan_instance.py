# Penn-Fudan pedestrians: 170 photos, one class. Layout below data_root:
#   images/{train,val}/*.jpg
#   annotations/instances_{train,val}.json
# tools/dataset_converters/pennfudan.py makes it of the original PennFudanPed. Sizes suit a CPU.
_base_ = '../loaders.py'
from unimask.pipelines import jitter_and_crop, testing, training

dataset_type = 'PennFudanDataset'
data_root = 'data/pennfudan/'
crop_size = 384
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('instance',)))

train_pipeline = training(
    'LoadInstances',
    [*jitter_and_crop(crop_size, ratio_range=(0.5, 1.5)), dict(type='ColorAugSSD')],
    drop_empty=True)
test_pipeline = testing(
    dict(type='LoadInstances', keep_crowd=True), short_edge=384, max_long=640)

train_dataloader = dict(
    num_workers=2,
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='images/train/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='images/val/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='MaskAPMetric')]
test_evaluator = val_evaluator
