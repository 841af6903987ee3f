# ADE20K scene parsing (ADEChallengeData2016), 150 classes, crops of 512. Layout below data_root:
#   images/{training,validation}/*.jpg
#   annotations/{training,validation}/*.png       (0 = unlabelled, 1 to 150)
_base_ = '../loaders.py'
from unimask.pipelines import scale_and_crop, testing, training

dataset_type = 'ADE20KSemanticDataset'
data_root = 'data/ADEChallengeData2016/'
crop_size = (512, 512)
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic',)))

train_pipeline = training('LoadSemanticMap', scale_and_crop(512, crop_size))
test_pipeline = testing('LoadSemanticMap', short_edge=512, max_long=2048)

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator

# multi-scale and flipped testing
tta_model = dict(
    type='SemanticTTA', short_sides=(256, 384, 512, 640, 768, 896), max_long_side=3584)
