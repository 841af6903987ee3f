# Mapillary Vistas v1.2 semantic with crops of 1280 (MaskFormer). Layout: as in the base.
_base_ = './mapillary_semantic_1024.py'
from unimask.pipelines import scale_and_crop, training

crop_size = (1280, 1280)
load = dict(type='LoadSemanticMap', void_labels=(65,))
train_pipeline = training(load, scale_and_crop(2048, crop_size))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
