# ADE20K with 847 classes ("full", release 2021_17_01), crops of 512. Layout below data_root:
#   images_detectron2/{training,validation}/*.jpg
#   annotations_detectron2/{training,validation}/*.tif    (16 bits, 65535 = unlabelled)
#   classes.txt                                           (a name to a line, in the labels' order)
# They are made by tools/dataset_converters/ade20k_full.py.
_base_ = '../loaders.py'
from unimask.pipelines import scale_and_crop, testing, training

dataset_type = 'ADE20KFullSemanticDataset'
data_root = 'data/ADE20K_2021_17_01/'
crop_size = (512, 512)
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic',)))

load = dict(type='LoadSemanticMap', ignore_index=65535)  # 255 is a class
train_pipeline = training(load, scale_and_crop(512, crop_size))
test_pipeline = testing(load, short_edge=512, max_long=2048)

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(
            img_path='images_detectron2/training',
            seg_map_path='annotations_detectron2/training'),
        seg_map_suffix='.tif',
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(
            img_path='images_detectron2/validation',
            seg_map_path='annotations_detectron2/validation'),
        seg_map_suffix='.tif',
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator
