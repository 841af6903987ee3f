# ADE20K panoptic, 100 things and 50 stuff classes, crops of 640. Layout below data_root:
#   images/{training,validation}/*.jpg
#   ade20k_panoptic_{train,val}.json, ade20k_panoptic_{train,val}/*.png
# The latter are made by tools/dataset_converters/ade20k_things.py.
_base_ = '../loaders.py'
from unimask.pipelines import scale_and_crop, testing, training

dataset_type = 'ADE20KPanopticDataset'
data_root = 'data/ADEChallengeData2016/'
crop_size = (640, 640)
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic', 'instance', 'panoptic')))

train_pipeline = training('LoadPanopticMap', scale_and_crop(640, crop_size))
test_pipeline = testing('LoadPanopticMap', short_edge=640, max_long=2560)

train_dataloader = dict(
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ade20k_panoptic_train.json',
        data_prefix=dict(img='images/training/', seg='ade20k_panoptic_train/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ade20k_panoptic_val.json',
        data_prefix=dict(img='images/validation/', seg='ade20k_panoptic_val/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='PQMetric'), dict(type='MaskAPMetric'), dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator

# multi-scale and flipped testing
tta_model = dict(
    type='SegmentorTTA', short_sides=(320, 480, 640, 800, 960, 1120), max_long_side=4480)
