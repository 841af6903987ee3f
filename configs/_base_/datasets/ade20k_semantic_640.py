# ADE20K scene parsing with crops of 640 (models with Swin-B and Swin-L). Layout: as in the base.
_base_ = './ade20k_semantic_512.py'
from unimask.pipelines import scale_and_crop, testing, training

crop_size = (640, 640)
train_pipeline = training('LoadSemanticMap', scale_and_crop(640, crop_size))
test_pipeline = testing('LoadSemanticMap', short_edge=640, max_long=2560)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# multi-scale and flipped testing
tta_model = dict(
    type='SemanticTTA', short_sides=(320, 480, 640, 800, 960, 1120), max_long_side=4480)
