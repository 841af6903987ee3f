# A small part of COCO panoptic with 133 classes. Layout below data_root:
#   images/{train,val}/*.jpg
#   annotations/panoptic_{train,val}.json, annotations/panoptic_{train,val}/*.png
# Sizes suit a CPU.
_base_ = '../loaders.py'
from unimask.pipelines import jitter_and_crop, testing, training

dataset_type = 'CocoPanopticDataset'
data_root = 'data/coco_mini/'
crop_size = 384
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic', 'instance', 'panoptic')))

train_pipeline = training('LoadPanopticMap', jitter_and_crop(crop_size, ratio_range=(0.5, 1.5)))
test_pipeline = testing('LoadPanopticMap', short_edge=384, max_long=640)

train_dataloader = dict(
    num_workers=2,
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/panoptic_train.json',
        data_prefix=dict(img='images/train/', seg='annotations/panoptic_train/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/panoptic_val.json',
        data_prefix=dict(img='images/val/', seg='annotations/panoptic_val/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='PQMetric'), dict(type='MaskAPMetric'), dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator
