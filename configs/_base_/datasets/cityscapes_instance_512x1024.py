# Cityscapes instances, 8 classes, crops of 512 x 1024. Layout below data_root:
#   leftImg8bit/{train,val}/CITY/*_leftImg8bit.png
#   annotations/instancesonly_filtered_gtFine_{train,val}.json
# The latter are made by tools/dataset_converters/cityscapes.py. AP is that of cityscapesscripts and
# needs gtFine/val/CITY/*_gtFine_instanceIds.png as downloaded.
_base_ = '../loaders.py'
from unimask.pipelines import scale_and_crop, testing, training

dataset_type = 'CityscapesInstanceDataset'
data_root = 'data/cityscapes/'
crop_size = (512, 1024)
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('instance',)))

train_pipeline = training('LoadInstances', scale_and_crop(1024, crop_size, pad=False))
test_pipeline = testing(
    dict(type='LoadInstances', keep_crowd=True), short_edge=1024, max_long=2048)

train_dataloader = dict(
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instancesonly_filtered_gtFine_train.json',
        data_prefix=dict(img='leftImg8bit/train/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instancesonly_filtered_gtFine_val.json',
        data_prefix=dict(img='leftImg8bit/val/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='CityscapesInstanceMetric')]
test_evaluator = val_evaluator
