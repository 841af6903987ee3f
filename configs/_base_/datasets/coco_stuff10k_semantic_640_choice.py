# COCO-Stuff 10k as SeMask-FPN is trained on it with Swin-L. Layout: as in the base.
_base_ = './coco_stuff10k_semantic_640.py'
from unimask.pipelines import choose_scale_and_crop, testing, training

crop_size = (640, 640)
train_pipeline = training('LoadSemanticMap', choose_scale_and_crop(640, crop_size))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# multi-scale and flipped testing, of the picture as it is in the file
tta_pipeline = testing('LoadSemanticMap')
tta_model = dict(max_long_side=(1280, 1920, 2560, 3200, 3840, 4480))
