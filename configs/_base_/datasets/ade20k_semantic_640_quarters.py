# ADE20K scene parsing with crops of 640 and scales of 0.25 to 1.75, as SeMask-MaskFormer is trained
# on it. Layout: as in the base.
_base_ = './ade20k_semantic_640.py'
from unimask.pipelines import crop_and_colour, training

crop_size = (640, 640)
train_pipeline = training('LoadSemanticMap', [
    dict(type='ResizeShortestEdge', short_edge=(160, 320, 480, 640, 800, 960, 1120),
         max_long=2560),
    *crop_and_colour(crop_size)])
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
