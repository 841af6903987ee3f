# COCO 2017 instances in squares of 640. Layout: as in the base.
_base_ = '../../../../configs/_base_/datasets/coco_instance_lsj1024.py'
from unimask.pipelines import jitter_and_crop, testing, training

crop_size = 640
# the square that the position embeddings are made for
labels = dict(data_preprocessor=dict(pad_size_divisor=640))
train_pipeline = training('LoadInstances', jitter_and_crop(crop_size), drop_empty=True)
test_pipeline = testing(dict(type='LoadInstances', keep_crowd=True), short_edge=640, max_long=640)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
