# COCO-Stuff 10k as SeMask-FPN is trained on it with Swin-T, -S and -B. Layout: as in the base.
_base_ = './coco_stuff10k_semantic_640.py'
from unimask.pipelines import choose_scale_and_crop, testing, training

crop_size = (512, 512)
train_pipeline = training('LoadSemanticMap', choose_scale_and_crop(512, crop_size))
test_pipeline = testing('LoadSemanticMap', short_edge=512, max_long=2048)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# multi-scale and flipped testing, of the picture as it is in the file
tta_pipeline = testing('LoadSemanticMap')
tta_model = dict(
    short_sides=(256, 384, 512, 640, 768, 896),
    max_long_side=(1024, 1536, 2048, 2560, 3072, 3584))
