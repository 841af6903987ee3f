# COCO 2017 panoptic with the augmentation of DETR, no edge longer than 1000 in training
# (MaskFormer with Swin-L). Layout: as in the base.
_base_ = './coco_panoptic_detr.py'
from unimask.pipelines import detr_crop, training

train_pipeline = training('LoadPanopticMap', detr_crop(max_long=1000))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
