# COCO 2017 panoptic with the augmentation of DETR (MaskFormer, whose models give no instances).
# Layout: as in the base.
_base_ = './coco_panoptic_lsj1024.py'
from unimask.pipelines import detr_crop, training

crop_size = None
labels = dict(test_cfg=dict(tasks=('semantic', 'panoptic')))
train_pipeline = training('LoadPanopticMap', detr_crop())
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
