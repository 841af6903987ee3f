# Mapillary Vistas v1.2 semantic, 65 classes, crops of 1024. Layout below data_root:
#   {training,validation}/images/*.jpg
#   {training,validation}/v1.2/labels/*.png       (65 = unlabelled)
_base_ = '../loaders.py'
from unimask.pipelines import scale_and_crop, testing, training

dataset_type = 'MapillarySemanticDataset'
data_root = 'data/mapillary/'
crop_size = (1024, 1024)
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic',)))

load = dict(type='LoadSemanticMap', void_labels=(65,))
train_pipeline = training(load, scale_and_crop(2048, crop_size))
test_pipeline = testing(load, short_edge=2048, max_long=2048)

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='training/images', seg_map_path='training/v1.2/labels'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='validation/images', seg_map_path='validation/v1.2/labels'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator
